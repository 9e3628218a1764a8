"""Replicas: several logical CPU devices give what one device gives.

TensorFlow's collectives of two strategies in one process disturb each other: the module shares one of two devices, and
four and eight have processes of their own.
"""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from drawn_masks import ShowingPretrainer, numbered, showing_objective
from small_model import SMALL, numpy_weights, packed_pretraining_batch, random_pretraining_batch

from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.layers.random_bits import fold_in
from bert_tf.models.dual_encoder import BertDualEncoder
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.objectives.objective import Objective, pretraining_objective, retrieval_objective
from bert_tf.runs import checkpoints
from bert_tf.training.batch_shards import BatchShard
from bert_tf.training.tensorflow_engine.averages import averaging
from bert_tf.training.tensorflow_engine.distribution import Distribution, make_distribution
from bert_tf.training.tensorflow_engine.evaluation import make_evaluation
from bert_tf.training.tensorflow_engine.state import TrainState
from bert_tf.training.tensorflow_engine.step import TrainStep
from bert_tf.training.throughput import counting_tokens

STEPS = 20
REPLICAS = int(os.environ.get("REPLICAS", "2"))
CONFIG = SMALL.replace(num_layers=1, dropout_rate=0.1, attention_dropout_rate=0.1)
TRAIN = TrainConfig(num_steps=20, batch_size=16, learning_rate=1e-3, warmup_steps=2, ema_decay=0.9, jit_compile=False)


def _batches():
    """Packed rows whose number of predictions differs, and one half with few: uneven weights on the replicas."""
    batches = [packed_pretraining_batch(seed, rows=16) for seed in range(STEPS)]
    for batch in batches:
        batch["masked_lm_weights"][8:, 1:] = 0
        batch["next_sentence_weights"][9:13] = 0
    return tf.data.Dataset.from_tensor_slices(
        {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
    )


def _global_batches(distribution, batches, read):
    """The batches as `Distribution.run` takes them, read as trainings do or placed from the host.

    Where trainings read, each device has an iterator of its own, and one that is destroyed on a busy machine may wait
    for the next round of its tuning, up to a minute (TensorFlow wakes the tuning thread before it sets the flag that
    the thread looks at): more than four replicas, and all but one of the tests, get their rows from the host.
    """
    if read and REPLICAS <= 4:
        return distribution.split(batches)
    return map(distribution.place, batches.as_numpy_iterator())


def _state(distribution, train=TRAIN):
    keras.utils.set_random_seed(0)
    with distribution.scope():
        return TrainState(BertPretrainer(CONFIG), train.precision, train)


def _compiled(distribution, train=TRAIN):
    """A new state, and the compiled step that changes it."""
    state = _state(distribution, train)
    state.averages.reset()
    step = TrainStep(
        state, pretraining_objective(), train=train, optimizer=OptimizerConfig(), distribution=distribution
    )
    step = averaging(step, state.averages, train.ema_decay, step=state.step, distribution=distribution)
    return state, tf.function(lambda batch: distribution.run(step, batch))


def _train(distribution, train=TRAIN, *, compiled=None, begin=0, read=False):
    """The state and the metrics of the steps from `begin` to the last, and the state's arrays before the middle one."""
    state, step = compiled or _compiled(distribution, train)
    metrics, middle = [], {}
    for number, batch in enumerate(_global_batches(distribution, _batches().skip(begin), read), begin):
        if number == STEPS // 2:
            middle = {name: np.asarray(value.numpy()) for name, value in state.variables().items()}
        metrics.append({name: tuple(map(float, pair)) for name, pair in step(batch).items()})
    return state, metrics, middle


@pytest.fixture(scope="module")
def one_device():
    return _train(Distribution())


@pytest.fixture(scope="module")
def replicas():
    return make_distribution(num_devices=REPLICAS)


@pytest.fixture(scope="module")
def on_replicas(replicas):
    """The state of replicas with their compiled step, and the arrays that it starts with: tests share the program."""
    state, step = _compiled(replicas)
    return (state, step), {name: np.asarray(value.numpy()) for name, value in state.variables().items()}


@pytest.mark.long
@pytest.mark.parametrize("count", [4, pytest.param(8, marks=pytest.mark.release)])
def test_more_replicas(count):
    result = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, "-m", "", "-k", "replicas_equal or replicas_compare or continues"],
        env=os.environ | {"REPLICAS": str(count)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "5 passed" in result.stdout


def test_replicas_equal_one_device(one_device, replicas, on_replicas, tmp_path):
    num_devices, distribution = REPLICAS, replicas
    assert distribution.num_replicas == num_devices
    assert distribution.describe() == f"MirroredStrategy, {num_devices} replicas"
    assert not distribution.is_tpu
    compiled, start = on_replicas
    for name, variable in compiled[0].variables().items():
        variable.assign(start[name])
    state, metrics, _ = _train(distribution, compiled=compiled, read=True)
    expected, expected_metrics, _ = one_device
    for found, wanted in zip(metrics, expected_metrics, strict=True):
        assert found == {name: pytest.approx(pair, rel=1e-4, abs=1e-5) for name, pair in wanted.items()}
    _assert_equal(state, expected)
    for name, weight in state.weights.items():
        copies = [copy.numpy() for copy in weight.value.values]
        assert len(copies) == num_devices
        assert all(np.array_equal(copies[0], copy) for copy in copies), name
    assert int(state.step.numpy()) == STEPS

    # Written by replicas, read on one device.
    saved = checkpoints.save(str(tmp_path), STEPS, state.variables(), keep=1)
    again = TrainState(BertPretrainer(CONFIG), train=TRAIN)
    checkpoints.restore(saved, again.variables())
    for name, value in state.variables().items():
        assert np.array_equal(np.asarray(again.variables()[name].numpy()), np.asarray(value.numpy())), name

    if REPLICAS > 4:  # see `_global_batches`
        return
    # And evaluated by replicas as by one.
    several, one = (
        make_evaluation(model.model, pretraining_objective(), where)(_batches().take(3))
        for model, where in ((state, distribution), (again, Distribution()))
    )
    assert several == {name: pytest.approx(value, rel=1e-5) for name, value in one.items()}


def _assert_equal(found, expected):
    """Weights and averages, to 1e-5."""
    weights = numpy_weights(found.model)
    for name, value in numpy_weights(expected.model).items():
        np.testing.assert_allclose(weights[name], value, atol=1e-5, err_msg=name)
    averages = found.averages.variables()
    for name, value in expected.averages.variables().items():
        np.testing.assert_allclose(averages[name].numpy(), value.numpy(), atol=1e-5, err_msg=name)


@pytest.mark.long
# Collectives of other tests' strategies, of other sizes, would not let it in.
@pytest.mark.skipif("REPLICAS" not in os.environ, reason="runs in the processes of test_more_replicas")
def test_accumulated_replicas_equal_one_device(one_device, replicas):
    # Each replica computes its rows in two parts: as the whole batch at once on one device.
    rows = TRAIN.batch_size // REPLICAS
    assert rows % 2 == 0
    state, metrics, _ = _train(replicas, TRAIN.replace(gradient_accumulation_steps=2))
    expected, expected_metrics, _ = one_device
    _assert_equal(state, expected)
    assert metrics[-1] == {name: pytest.approx(pair, rel=1e-4, abs=1e-5) for name, pair in expected_metrics[-1].items()}


def _retrieval_batch(rows):
    """Rows of a query, a passage and a negative, of which some are alike, and one fills up."""
    random = np.random.default_rng(5)
    batch = packed_pretraining_batch(3, rows=rows)
    lengths = np.repeat(np.arange(3), 4)
    return {
        "input_ids": random.integers(5, CONFIG.vocab_size, (rows, 12)).astype(np.int32),
        "input_mask": np.tile(lengths + 1, (rows, 1)).astype(np.int32),
        "segment_ids": np.zeros((rows, 12), np.int32),
        "position_ids": np.tile(np.arange(12) % 4, (rows, 1)).astype(np.int32),
        "query_ids": random.integers(0, rows // 2, rows).astype(np.int32),
        "passage_ids": random.integers(0, rows, (rows, 2)).astype(np.int32),
        "passage_weights": (batch["input_mask"][:, :2] > 0) * np.linspace(0, 3, rows).clip(0, 1)[:, None].round(0),
    }


def _train_retrieval(distribution, rows=16):
    keras.utils.set_random_seed(0)
    with distribution.scope():
        state = TrainState(BertDualEncoder(CONFIG, 3), TRAIN.precision)
    objective = counting_tokens(retrieval_objective(0.1))
    step = TrainStep(state, objective, train=TRAIN, optimizer=OptimizerConfig(), distribution=distribution)
    compiled = tf.function(lambda batch: distribution.run(step, batch))
    batch = {
        name: array.astype("float32" if "weights" in name else "int32")
        for name, array in _retrieval_batch(rows).items()
    }
    metrics = [compiled(distribution.place(batch)) for _ in range(3)]
    return state, [{name: tuple(map(float, pair)) for name, pair in sums.items()} for sums in metrics]


def test_replicas_compare_the_rows_of_all(replicas):
    one, metrics_of_one = _train_retrieval(Distribution())
    state, metrics = _train_retrieval(replicas)
    for mine, theirs in zip(metrics, metrics_of_one, strict=True):
        for name, pair in theirs.items():
            np.testing.assert_allclose(mine[name], pair, rtol=2e-5, err_msg=name)
    expected = numpy_weights(one.model)
    for name, weight in numpy_weights(state.model).items():
        np.testing.assert_allclose(weight, expected[name], atol=2e-5, err_msg=name)
    train = TRAIN.replace(gradient_accumulation_steps=2)
    with pytest.raises(ValueError, match=r"`train\.gradient_accumulation_steps` must be 1 .*: 2 on \d replicas"):
        TrainStep(state, retrieval_objective(0.1), train=train, optimizer=OptimizerConfig(), distribution=replicas)


def test_one_reduction_of_all_gradients(replicas):
    with replicas.scope():
        state = TrainState(BertPretrainer(CONFIG))
    step = TrainStep(state, pretraining_objective(), train=TRAIN, optimizer=OptimizerConfig(), distribution=replicas)
    (batch,) = replicas.split(_batches().take(1))
    traced = tf.function(lambda batch: replicas.run(step, batch)).get_concrete_function(batch)
    sizes = {}
    for operation in traced.graph.get_operations():
        if operation.type.startswith("CollectiveReduce"):
            sizes.setdefault(operation.device, []).append(operation.inputs[0].shape.num_elements())
    assert len(sizes) == REPLICAS
    gradients = sum(weight.shape.num_elements() for weight in (w.value for w in state.weights.values()))
    for of_device in sizes.values():
        # The weights of the two losses, before the forward pass; then all gradients and the metrics with them.
        before, reduced = sorted(of_device)
        assert before == 2
        assert gradients < reduced < gradients + 40


def test_a_run_of_one_device_continues_on_replicas(one_device, replicas, on_replicas, tmp_path):
    expected, expected_metrics, middle = one_device
    half = STEPS // 2
    saved = checkpoints.save(str(tmp_path), half, {name: tf.Variable(array) for name, array in middle.items()}, keep=1)
    (state, _), _ = on_replicas
    checkpoints.restore(saved, state.variables())
    for name, value in middle.items():
        restored = state.variables()[name]
        for copy in (restored.value if isinstance(restored, keras.Variable) else restored).values:
            assert np.array_equal(copy.numpy(), value), name
    _, metrics, _ = _train(replicas, compiled=on_replicas[0], begin=half)
    for found, wanted in zip(metrics, expected_metrics[half:], strict=True):
        assert found == {name: pytest.approx(pair, rel=1e-4, abs=1e-5) for name, pair in wanted.items()}
    _assert_equal(state, expected)


def test_replicas_equal_one_device_in_their_masks(replicas):
    batch = numbered(random_pretraining_batch(rows=8))
    with replicas.scope():
        state = TrainState(ShowingPretrainer(CONFIG))
    train = TRAIN.replace(seed=11, batch_size=8)
    step = TrainStep(state, showing_objective(8), train=train, optimizer=OptimizerConfig(), distribution=replicas)
    expected = state.model(batch, training=True, seed=fold_in(11, 0))["masks"]
    assert 0.4 < np.mean(expected) < 0.6
    compiled = tf.function(lambda batch: replicas.run(step, batch))
    assert np.array_equal(compiled(replicas.place(batch))["masks"][0], expected)


@pytest.mark.parametrize("dropout_rate", [pytest.param(0.0, marks=pytest.mark.long), 0.5])
def test_replicas_draw_different_masks(replicas, dropout_rate):
    distribution = replicas
    keras.utils.set_random_seed(0)
    with distribution.scope():
        state = TrainState(BertPretrainer(CONFIG.replace(dropout_rate=dropout_rate, attention_dropout_rate=0.0)))
    plain = pretraining_objective()

    def spread(outputs, _):
        # Summed over replicas, value and square tell whether all replicas had the same.
        value = tf.reduce_sum(outputs["masked_lm_logits"] ** 2)
        return {"value": (value, value**2)}

    step = TrainStep(
        state,
        Objective(plain.losses, plain.weights, spread),
        train=TRAIN,
        optimizer=OptimizerConfig(),
        distribution=distribution,
    )
    one = random_pretraining_batch(rows=1)
    same = {name: np.repeat(array, REPLICAS, axis=0) for name, array in one.items()}
    (batch,) = distribution.split(tf.data.Dataset.from_tensors(same))
    total, squares = tf.function(lambda batch: distribution.run(step, batch))(batch)["value"]
    variance = float(squares) / REPLICAS - (float(total) / REPLICAS) ** 2
    assert (variance > 1e-3 * float(squares)) == (dropout_rate > 0)


def test_rows_go_to_the_replicas_in_order(replicas):
    distribution = replicas
    rows = tf.data.Dataset.range(8).batch(4, drop_remainder=True)
    batches = [distribution.strategy.experimental_local_results(batch) for batch in distribution.split(rows)]
    found = [[part.numpy().tolist() for part in parts] for parts in batches]
    assert found == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


def test_one_device_needs_no_strategy():
    for distribution in (Distribution(), make_distribution(), make_distribution(num_devices=1)):
        assert distribution.strategy is None
        assert distribution.num_replicas == 1
        assert distribution.describe() == "one device (CPU)"


def test_batches_that_cannot_be_divided(replicas):
    with pytest.raises(ValueError, match=rf"rows of a batch must be a multiple of the {REPLICAS} .*Received: 3"):
        replicas.split(tf.data.Dataset.range(9).batch(3, drop_remainder=True))


def test_workers_have_consecutive_rows():
    rows = tf.data.Dataset.range(8).batch(4, drop_remainder=True)
    assert [batch.numpy().tolist() for batch in BatchShard(1, 2).of(rows)] == [[2, 3], [6, 7]]
    assert BatchShard().of(rows) is rows
    with pytest.raises(ValueError, match=r"a multiple of the 3 workers\. Received: 4"):
        BatchShard(0, 3).of(rows)


def test_a_mirrored_strategy_on_demand(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert make_distribution(strategy="mirrored").describe() == "MirroredStrategy, 1 replicas"
    assert make_distribution(strategy="one_device").found == "a CPU and no GPU"


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"strategy": "all"}, r"`strategy` must be one of auto, .*Received: 'all'"),
        ({"strategy": "mirrored", "tpu": "local"}, r"`tpu` needs `strategy` auto or tpu\. Received: 'mirrored'"),
        ({"strategy": "tpu", "num_devices": 2}, r"`num_devices` is for GPUs.*Received: 2"),
        ({"strategy": "one_device", "num_devices": 2}, r"`strategy` one_device has `num_devices` 1\. Received: 2"),
        ({"strategy": "multi_worker"}, r"`strategy` multi_worker needs the environment variable TF_CONFIG"),
    ],
)
def test_wishes_that_contradict_each_other(monkeypatch, wish, message):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match=message):
        make_distribution(**wish)


def test_numbers_of_devices_follow_each_other_in_a_process():
    for count in (2, 4, 2):
        distribution = make_distribution(num_devices=count)
        step = tf.function(lambda rows, own=distribution: own.run(lambda row: own.all_reduce([row])[0], rows))
        [rows] = list(distribution.split(tf.data.Dataset.range(count).batch(count, drop_remainder=True)))
        assert step(rows).numpy().tolist() == [sum(range(count))]


def test_wrong_wishes():
    with pytest.raises(ValueError, match=r"`num_devices` must be at most the 4 found\. Received: 5"):
        make_distribution(num_devices=5)
    with pytest.raises(ValueError, match=r"`num_devices` must be at least 1\. Received: 0"):
        make_distribution(num_devices=0)


def test_a_tpu_that_is_not_there(monkeypatch):
    def nowhere(tpu):
        raise ValueError("Please provide a TPU Name to connect to.\nand more")

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", nowhere)
    message = r"`tpu`: no TPU answers there \(Please provide a TPU Name to connect to\.\)\. Received: 'grpc://nowhere'"
    with pytest.raises(ValueError, match=message):
        make_distribution(tpu="grpc://nowhere")
