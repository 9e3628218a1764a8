"""Runs that are stopped, damaged or not finite, and what becomes of them."""

import itertools
import json
import os
import signal
import sys
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, numpy_weights, random_pretraining_batch

from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.objectives.losses import pretraining_losses
from bert_tf.objectives.objective import Objective, pretraining_objective
from bert_tf.runs import checkpoints
from bert_tf.training.loop import Hooks, train_and_evaluate
from bert_tf.training.tensorflow_engine.distribution import Distribution, make_distribution
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine
from bert_tf.training.tensorflow_engine.evaluation import make_evaluation
from bert_tf.training.tensorflow_engine.step import TrainState
from bert_tf.training.throughput import TIMING_METRICS
from bert_tf.training.turns import Turns
from bert_tf.utils.preemption import Preempted, TerminationNotice

ONE_DEVICE = Distribution()
CONFIG = SMALL.replace(num_layers=1, dropout_rate=0.1, attention_dropout_rate=0.1)
TRAIN = TrainConfig(
    num_steps=12,
    batch_size=4,
    learning_rate=1e-2,
    warmup_steps=2,
    steps_per_loop=5,
    # They do not meet: a line's steps lie on both sides of a checkpoint.
    log_every=4,
    checkpoint_every=3,
    eval_every=6,
    keep_checkpoints=10,
    jit_compile=False,
)


def _batches(start):
    return (random_pretraining_batch(seed) for seed in itertools.count(start))


def _train(
    folder,
    train=TRAIN,
    batches=_batches,
    objective=None,
    evaluate=None,
    config=CONFIG,
    distribution=ONE_DEVICE,
    **arguments,
):
    keras.utils.set_random_seed(0)
    with distribution.scope():
        state = TrainState(BertPretrainer(config))
    objective = objective or pretraining_objective()
    evaluation = make_evaluation(state.model, objective, distribution)
    held_out = tf.data.Dataset.from_tensors(random_pretraining_batch(100))
    signature = {name: tf.TensorSpec(array.shape, array.dtype) for name, array in random_pretraining_batch().items()}
    results = train_and_evaluate(
        engine=TensorFlowEngine(distribution),
        state=state,
        turns=Turns.of_one(
            objective,
            lambda start, part: part.of(
                tf.data.Dataset.from_generator(lambda: batches(start), output_signature=signature)
            ),
        ),
        run_dir=str(folder),
        train=train,
        optimizer=OptimizerConfig(),
        hooks=Hooks(evaluate=evaluate or (lambda: evaluation(held_out)), **arguments),
    )
    return state, results


def _lines(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMING_METRICS} for line in lines]


def _steps(folder):
    return [checkpoint.step for checkpoint in checkpoints.complete_checkpoints(str(folder))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbed: its folder and state."""
    folder = tmp_path_factory.mktemp("whole")
    state, _ = _train(folder)
    return folder, state


def _require_same(folder, state, whole):
    assert _lines(folder) == _lines(whole[0])
    for name, variable in whole[1].variables().items():
        assert np.array_equal(np.asarray(variable.numpy()), np.asarray(state.variables()[name].numpy())), name


def _and_then(before, action):
    """The batches before batch number `before`, then what `action` does, then the others."""

    def batches(start):
        for step, batch in enumerate(_batches(start), start):
            if step == before:
                action()
            yield batch

    return batches


def _terminate():
    os.kill(os.getpid(), signal.SIGTERM)


class _Stop(Exception):
    pass


def _stop():
    raise _Stop


def test_sigterm_saves_where_it_is(whole, tmp_path):
    handler = signal.getsignal(signal.SIGTERM)
    # Batches are read ahead: the signal comes some steps before.
    with pytest.raises(Preempted, match=r"stopped by SIGTERM at step \d+ of 12, which is saved; the same command"):
        _train(tmp_path, batches=_and_then(7, _terminate))
    assert signal.getsignal(signal.SIGTERM) is handler
    assert 0 < _steps(tmp_path)[-1] < 12
    state, _ = _train(tmp_path)
    _require_same(tmp_path, state, whole)


@pytest.fixture
def interruptible():
    """Ctrl-C raises KeyboardInterrupt, as in every terminal; a test runner may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _interrupt():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_saves_where_it_is(whole, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt, match=r"stopped by Ctrl-C at step \d+ of 12, which is saved; the same"):
        _train(tmp_path, TRAIN.replace(checkpoint_every=0), batches=_and_then(7, _interrupt))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert "Ctrl-C: saving a checkpoint, then stopping" in capsys.readouterr().err
    assert 0 < _steps(tmp_path)[-1] < 12
    state, _ = _train(tmp_path)
    _require_same(tmp_path, state, whole)


@pytest.mark.usefixtures("interruptible")
def test_a_second_ctrl_c_stops_at_once_and_none_is_lost():
    with TerminationNotice() as notice:
        _interrupt()
        assert (notice.received, notice.interrupted) == (True, True)
        with pytest.raises(KeyboardInterrupt):
            _interrupt()
        notice.interrupted = False
    with pytest.raises(KeyboardInterrupt), TerminationNotice():
        _interrupt()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with TerminationNotice():
        _interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGINT, before)


def test_sigterm_in_a_function_whose_exceptions_are_dropped(capfd):
    """Python drops exceptions in `__del__` as it does in `gc.callbacks`, of which JAX sets one."""

    class Dropping:
        def __del__(self):
            _terminate()

    waiting = threading.Event()
    hook = sys.unraisablehook

    def evaluate(notice):
        with notice.interrupting():
            dropping = Dropping()
            del dropping
            waiting.wait(60)
            raise AssertionError("an evaluation is left at once")

    with TerminationNotice() as notice, pytest.raises(Preempted):
        evaluate(notice)
    assert notice.received
    assert sys.unraisablehook is hook
    assert capfd.readouterr().err == ""


@pytest.mark.long
def test_sigterm_in_an_evaluation(whole, tmp_path):
    def evaluate():
        _terminate()
        raise AssertionError("an evaluation is left at once")

    with pytest.raises(Preempted, match="at step 6 of 12"):
        _train(tmp_path, evaluate=evaluate)
    assert _steps(tmp_path) == [3, 6]
    state, _ = _train(tmp_path)
    _require_same(tmp_path, state, whole)


@pytest.mark.long
@pytest.mark.parametrize("before", [5, 8, 11])
def test_a_line_of_the_log_on_both_sides_of_a_checkpoint(whole, tmp_path, before):
    with pytest.raises(tf.errors.OpError, match="_Stop"):
        _train(tmp_path, batches=_and_then(before, _stop))
    assert _steps(tmp_path)[-1] < before
    state, _ = _train(tmp_path)
    _require_same(tmp_path, state, whole)


@pytest.mark.long
@pytest.mark.parametrize("steps_per_loop", [1, 100])
def test_the_log_does_not_depend_on_returns_to_the_host(whole, tmp_path, steps_per_loop):
    state, _ = _train(tmp_path, TRAIN.replace(steps_per_loop=steps_per_loop))
    _require_same(tmp_path, state, whole)


def test_a_damaged_checkpoint_and_a_torn_line(whole, tmp_path, caplog):
    with pytest.raises(tf.errors.OpError, match="_Stop"):
        _train(tmp_path, batches=_and_then(10, _stop))
    newest = checkpoints.newest_checkpoint(str(tmp_path))
    os.truncate(newest.bundle + ".data-00000-of-00001", 1000)
    log = tmp_path / "metrics.jsonl"
    log.write_text(log.read_text() + '{"kind": "train", "st')
    state, _ = _train(tmp_path)
    (message,) = [record.getMessage() for record in caplog.records if "damaged" in record.getMessage()]
    assert f"{newest.path}: the checkpoint is damaged" in message
    _require_same(tmp_path, state, whole)
    assert _steps(tmp_path) == [3, 6, 9, 12]


@pytest.mark.long
def test_the_data_continue_on_another_number_of_replicas(tmp_path):
    # Dropout differs from replica to replica, and so from one number of them to another.
    config = CONFIG.replace(dropout_rate=0.0, attention_dropout_rate=0.0)
    alone, _ = _train(tmp_path / "alone", config=config)
    with pytest.raises(tf.errors.OpError, match="_Stop"):
        _train(tmp_path / "stopped", config=config, batches=_and_then(8, _stop))
    first = _steps(tmp_path / "stopped")[-1]
    assert 0 < first < 8
    seen = []

    def noted(start):
        seen.append(start)
        return _batches(start)

    four = make_distribution(num_devices=4)
    assert four.num_replicas == 4
    replicated, _ = _train(tmp_path / "stopped", config=config, batches=noted, distribution=four)
    assert seen == [first]
    for name, weight in numpy_weights(alone.model).items():
        np.testing.assert_allclose(numpy_weights(replicated.model)[name], weight, atol=1e-5, err_msg=name)
    assert [line["step"] for line in _lines(tmp_path / "stopped")] == [
        line["step"] for line in _lines(tmp_path / "alone")
    ]


@pytest.mark.long
def test_a_folder_that_another_job_has_taken_is_left_alone(tmp_path):
    def taken():
        raise OSError("--model_dir: process 7 on elsewhere has taken the folder")

    with pytest.raises(OSError, match="has taken the folder"):
        _train(tmp_path, TRAIN.replace(checkpoint_every=1), still_held=taken)
    assert _steps(tmp_path) == []


def _spoiling(*steps, what):
    """The batches, in those of `steps` with a sign, and an objective that the sign spoils: its `loss` or `gradient`."""
    plain = pretraining_objective()

    def losses(outputs, batch):
        factor = tf.where(tf.reduce_any(batch["input_ids"][:, 0] == 39), 0.0, 1.0)
        sums = pretraining_losses(outputs, batch)
        total, weight = sums["next_sentence_loss"]
        if what == "loss":
            total = total / factor
        else:  # the root is 0, its derivative is not finite
            total = total + 1e-3 * tf.sqrt(factor * tf.reduce_sum(tf.square(outputs["next_sentence_logits"])))
        return sums | {"next_sentence_loss": (total, weight)}

    def batches(start):
        for step, batch in enumerate(_batches(start), start):
            batch["input_ids"][:, 0] = 39 if step in steps else 2
            yield batch

    return {"objective": Objective(losses, plain.weights, plain.metrics), "batches": batches}


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    ("what", "part"),
    [
        ("loss", "next_sentence_loss is inf"),
        pytest.param("gradient", "the gradient of encoder/.+ is not finite", marks=pytest.mark.long),
    ],
)
def test_nonfinite_values_are_reported(tmp_path, what, part):
    train = TRAIN.replace(eval_every=0)
    match = rf"^step 5 is not finite: {part}\. Its batch: records of 4\. The last checkpoint is kept"
    with pytest.raises(FloatingPointError, match=match):
        _train(tmp_path, train, describe_batch=lambda step: f"records of {step}", **_spoiling(4, what=what))
    assert _steps(tmp_path) == [3]
    state = TrainState(BertPretrainer(CONFIG))
    assert checkpoints.restore_newest(str(tmp_path), state.variables()).step == 3
    assert all(np.isfinite(value).all() for value in numpy_weights(state.model).values())


@pytest.mark.usefixtures("eagerly")
def test_steps_that_are_not_finite_are_skipped(tmp_path, caplog):
    train = TRAIN.replace(eval_every=0, skip_nonfinite=2)
    state, _ = _train(tmp_path, train, **_spoiling(4, 9, what="gradient"))
    assert all(np.isfinite(value).all() for value in numpy_weights(state.model).values())
    messages = [record.getMessage() for record in caplog.records if "not finite" in record.getMessage()]
    assert [message.split(":")[0] for message in messages] == ["step 5 is not finite", "step 10 is not finite"]
    assert "skipped, as number 2 of at most 2" in messages[1]
    lines = [line for line in _lines(tmp_path) if line["kind"] == "train"]
    assert [(line["step"], line["skipped_steps"]) for line in lines] == [(4, 0), (8, 1), (12, 2)]
    assert all(np.isfinite(line["gradient_norm"]) for line in lines)
    # The count is part of the checkpoint.
    with pytest.raises(FloatingPointError, match="and 2 have been skipped already"):
        _train(tmp_path, train.replace(num_steps=16), **_spoiling(13, what="loss"))


@pytest.mark.long
def test_a_skipped_step_changes_nothing(tmp_path):
    train = TRAIN.replace(eval_every=0, skip_nonfinite=1, num_steps=4, checkpoint_every=1)
    _train(tmp_path, train, **_spoiling(2, what="loss"))
    found = []
    for checkpoint in checkpoints.complete_checkpoints(str(tmp_path)):
        reader = tf.train.load_checkpoint(checkpoint.bundle)
        found.append({name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()})
    steps = [values.pop("step") for values in found]
    assert steps == [1, 2, 3, 4]
    assert all(np.array_equal(found[1][name], found[2][name]) for name in found[1])
    assert not all(np.array_equal(found[2][name], found[3][name]) for name in found[2])
