"""What a run reports of its speed, and profiles."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from launch_many import run_program
from small_model import SMALL, random_pretraining_batch

from bert_tf.configs import ConfigError, OptimizerConfig, TrainConfig
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.objectives.objective import pretraining_objective
from bert_tf.training import loop
from bert_tf.training.loop import Hooks, train_and_evaluate
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine
from bert_tf.training.tensorflow_engine.inner_loop import InnerLoop
from bert_tf.training.tensorflow_engine.state import TrainState
from bert_tf.training.throughput import ROW_LENGTH, TIMING_METRICS, TOKENS, ThroughputMeter
from bert_tf.training.turns import Turns

TRAIN = TrainConfig(
    num_steps=6,
    batch_size=4,
    learning_rate=1e-2,
    warmup_steps=0,
    steps_per_loop=2,
    log_every=3,
    peak_tflops=1e-3,
    profile_steps=(2, 5),
    jit_compile=False,
)


def _data(start):
    batches = [random_pretraining_batch(seed) for seed in range(start, 10)]
    return tf.data.Dataset.from_tensor_slices(
        {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
    )


def test_the_report_of_a_run(tmp_path):
    keras.utils.set_random_seed(0)
    state = TrainState(BertPretrainer(SMALL.replace(num_layers=1)))
    train_and_evaluate(
        engine=TensorFlowEngine(),
        state=state,
        turns=Turns.of_one(pretraining_objective(), lambda start, _: _data(start)),
        run_dir=str(tmp_path),
        train=TRAIN,
        optimizer=OptimizerConfig(),
        hooks=Hooks(step_flops=lambda length: 1e5 * length),
    )
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6]
    for number, line in enumerate(lines):
        tokens = [random_pretraining_batch(seed)["input_mask"].sum() for seed in range(3 * number, 3 * number + 3)]
        assert line["tokens_per_row"] == pytest.approx(sum(tokens) / 12)
        assert line["row_length"] == 12
        assert {*TIMING_METRICS} - {"device_memory_gib"} <= line.keys()
        assert 0 <= line["input_wait_share"] < 1
        assert line["host_memory_gib"] > 0.1
        assert line["peak_flops_share"] == pytest.approx(line["steps_per_second"] * 1.2e6 / 1e9)
    # The second holds three steps that were made at one speed.
    per_step = lines[1]["tokens_per_second"] / lines[1]["steps_per_second"]
    assert per_step == pytest.approx(4 * lines[1]["tokens_per_row"])
    norm = np.sqrt(sum(np.sum(weight.numpy().astype(np.float64) ** 2) for weight in state.weights.values()))
    assert lines[1]["weight_norm"] == pytest.approx(norm, rel=1e-5)
    assert list((tmp_path / "train" / "plugins" / "profile").rglob("*.xplane.pb"))


def _add(meter, lengths, tokens, seconds, waited):
    """Steps of two rows each, so many tokens in all of them."""
    results = [[[0.5, 1.0], [2.0 * length, 2.0], [tokens / len(lengths), 2.0]] for length in lengths]
    meter.add(["loss", ROW_LENGTH, TOKENS], np.array(results, np.float32), seconds=seconds, waited=waited)


def test_tracing_counts_only_where_there_is_nothing_else():
    meter = ThroughputMeter(step_flops=lambda length: 1e7 * length**2, peak_flops=1e12)
    _add(meter, [100], 100, 10.0, 5.0)
    assert meter.report()["steps_per_second"] == pytest.approx(0.1)
    meter = ThroughputMeter(step_flops=lambda length: 1e7 * length**2, peak_flops=1e12)
    for lengths, tokens, seconds, waited in (([64], 100, 10.0, 5.0), ([8, 16], 300, 1.0, 0.1), ([8, 8], 100, 1.0, 0.1)):
        _add(meter, lengths, tokens, seconds, waited)
    report = meter.report()
    assert (report["steps_per_second"], report["tokens_per_second"]) == (2.0, 200.0)
    assert report["input_wait_share"] == pytest.approx(0.1)
    # Of each step by its own rows' length: 3 x 8 ** 2 and 16 ** 2 in two seconds.
    assert report["peak_flops_share"] == pytest.approx(1e7 * (3 * 64 + 256) / 2 / 1e12)
    _add(meter, [8], 50, 0.5, 0.0)
    assert meter.report()["tokens_per_second"] == 100.0
    for unknown in (ThroughputMeter(step_flops=lambda _: 1e9), ThroughputMeter(peak_flops=1e12)):
        _add(unknown, [8], 50, 0.5, 0.0)
        assert "peak_flops_share" not in unknown.report()


_CLOCK = '''
class Clock:
    """A clock that the batches and the steps of a test move."""

    now = 0.0

    def read(self):
        return tf.ensure_shape(tf.py_function(lambda: self.now, [], tf.float64), ())

    def advance(self, seconds):
        def move():
            self.now += seconds

        return tf.py_function(move, [], [])
'''
exec(_CLOCK)  # the test in another process has the same one


def _unbuffered(dataset):
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.inject_prefetch = False
    return dataset.with_options(options)


def test_waiting_for_input_is_measured():
    clock = Clock()  # noqa: F821

    def slow(number):
        with tf.control_dependencies([clock.advance(0.25)]):
            return {"input_ids": tf.identity(number)}

    def step(batch):
        with tf.control_dependencies([clock.advance(10.0)]):
            return {"sum": (tf.cast(batch["input_ids"], tf.float32), tf.ones(()))}

    inner_loop = InnerLoop(step, Distribution(), clock.read)
    iterator = iter(_unbuffered(tf.data.Dataset.range(20).map(slow)))
    inner_loop(iterator, 1)
    values, waited = inner_loop(iterator, 4)
    assert values[:, 0, 0].tolist() == [1, 2, 3, 4]
    assert inner_loop.names == ["sum"]
    assert waited == 4 * 0.25
    quick = iter(_unbuffered(tf.data.Dataset.range(20).map(lambda number: {"input_ids": number})))
    inner_loop(quick, 1)
    assert inner_loop(quick, 4)[1] == 0.0


_ONE_THREAD = f"""
import tensorflow as tf
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.inner_loop import InnerLoop
from bert_tf.training.turns import Turns

tf.config.threading.set_inter_op_parallelism_threads(1)
{_CLOCK}
clock = Clock()

def step(batch):
    with tf.control_dependencies([clock.advance(10.0)]):
        return {{"loss": (tf.reduce_sum(batch["x"]), tf.ones(()))}}

inner_loop = InnerLoop(step, Distribution(), clock.read)
iterator = iter(tf.data.Dataset.from_tensors({{"x": tf.eye(6)}}).repeat())
inner_loop(iterator, 1)
print(inner_loop(iterator, 5)[1])
"""


def test_a_step_is_no_wait_where_one_thread_does_everything(tmp_path):
    result = run_program(_ONE_THREAD, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) == 0.0


def test_profiles_begin_and_end_between_steps():
    train = TrainConfig(num_steps=200, steps_per_loop=1000, log_every=0, profile_steps=(100, 110))
    assert loop._steps_to_next_event(0, train) == 100
    assert loop._steps_to_next_event(100, train) == 10
    assert loop._steps_to_next_event(110, train) == 90
    for wrong in ((1,), (5, 5), (-1, 3), (1, 2, 3)):
        with pytest.raises(ConfigError, match=r"`profile_steps` must be two numbers of steps.*Received: "):
            train.replace(profile_steps=wrong)
