"""The loop: when it does what, going on where it stopped, runs that diverge, evaluation, and the golden curve."""

import itertools
import json
import runpy
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, numpy_weights, random_classification_batch, random_pretraining_batch

from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.configs.training import DTYPE_POLICIES
from bert_tf.models.classifier import BertClassifier
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.objectives.losses import pretraining_losses
from bert_tf.objectives.objective import Objective, classification_objective, pretraining_objective
from bert_tf.runs import checkpoints
from bert_tf.training import loop
from bert_tf.training.loop import Hooks, train_and_evaluate
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine
from bert_tf.training.tensorflow_engine.evaluation import make_evaluation
from bert_tf.training.tensorflow_engine.state import TrainState
from bert_tf.training.throughput import TIMING_METRICS
from bert_tf.training.turns import Turns

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
CONFIG = SMALL.replace(num_layers=1, dropout_rate=0.1, attention_dropout_rate=0.1)
TRAIN = TrainConfig(
    num_steps=12,
    batch_size=4,
    learning_rate=1e-2,
    warmup_steps=2,
    steps_per_loop=2,
    log_every=4,
    checkpoint_every=4,
    eval_every=4,
    eval_batch_size=4,
    keep_checkpoints=10,
    precision="float32",
    jit_compile=False,
)


def _dataset(seeds):
    batches = [random_pretraining_batch(seed) for seed in seeds]
    return tf.data.Dataset.from_tensor_slices(
        {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
    )


def _train_data(start):
    return _dataset(range(start, 40))


def _eval_data():
    return _dataset([100, 101])


def _train(folder, train=TRAIN, eval_data=_eval_data, objective=None, config=CONFIG, **arguments):
    keras.utils.set_random_seed(train.seed)
    state = TrainState(BertPretrainer(config, dtype=DTYPE_POLICIES[train.precision]), train.precision)
    objective = objective or pretraining_objective()
    evaluation = make_evaluation(state.model, objective, Distribution())
    train_data = arguments.pop("train_data", _train_data)
    scores = train_and_evaluate(
        engine=TensorFlowEngine(),
        state=state,
        turns=Turns.of_one(objective, lambda start, _=None: train_data(start)),
        run_dir=str(folder),
        train=train,
        optimizer=OptimizerConfig(),
        hooks=Hooks(evaluate=(lambda: evaluation(eval_data())) if eval_data else None, **arguments),
    )
    return state, scores


def _lines(folder):
    """`metrics.jsonl` without what a clock says."""
    lines = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMING_METRICS} for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupted: its folder, state and scores."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, *_train(folder)


class _Stop(Exception):
    pass


def _stopped(folder, after, **arguments):
    """The same run, stopped while it saves or evaluates at step `after`, as a machine that goes away."""

    def data(start):
        yield from itertools.islice(_train_data(start), after - start)
        raise _Stop

    def generated(start):
        return tf.data.Dataset.from_generator(lambda: data(start), output_signature=_train_data(0).element_spec)

    with pytest.raises(tf.errors.OpError, match="_Stop"):
        _train(folder, train_data=generated, **arguments)


@pytest.mark.parametrize("after", [6, *(pytest.param(after, marks=pytest.mark.long) for after in (4, 9))])
def test_a_run_continues_where_it_stopped(whole, tmp_path, after):
    folder, state, scores = whole
    _stopped(tmp_path, after)
    assert checkpoints.newest_checkpoint(str(tmp_path)).step == after // 4 * 4
    again, results = _train(tmp_path)
    for name, value in state.variables().items():
        assert np.array_equal(np.asarray(value.numpy()), np.asarray(again.variables()[name].numpy())), name
    assert results == scores
    assert _lines(tmp_path) == _lines(folder)


@pytest.mark.long
def test_a_stop_between_checkpoint_and_evaluation(whole, tmp_path, monkeypatch):
    def broken(*_):
        def evaluate(_):
            raise _Stop

        return evaluate

    with monkeypatch.context() as patched:
        patched.setitem(globals(), "make_evaluation", broken)
        with pytest.raises(_Stop):
            _train(tmp_path)
    assert [(line["kind"], line["step"]) for line in _lines(tmp_path)] == [("train", 4)]
    _train(tmp_path)
    assert _lines(tmp_path) == _lines(whole[0])


@pytest.mark.long
def test_reports_after_the_checkpoint_are_dropped(whole, tmp_path):
    every = TRAIN.replace(log_every=2)
    _stopped(tmp_path, 7, train=every)
    assert [line["step"] for line in _lines(tmp_path) if line["kind"] == "train"] == [2, 4, 6]
    _train(tmp_path, train=every)
    assert [line["step"] for line in _lines(tmp_path) if line["kind"] == "train"] == [2, 4, 6, 8, 10, 12]


def test_a_finished_run_returns_its_written_metrics(whole, tmp_path):
    folder, _, scores = whole
    before = _lines(folder)

    def nothing(_):
        raise AssertionError("a finished run needs no data")

    _, again = _train(folder, train_data=nothing)
    assert again == scores
    assert _lines(folder) == before


def test_the_log(whole):
    folder, state, scores = whole
    lines = _lines(folder)
    assert [(line["kind"], line["step"]) for line in lines] == [
        (kind, step) for step in (4, 8, 12) for kind in ("train", "eval")
    ]
    assert lines[-1] == {"kind": "eval", "step": 12} | scores
    assert set(scores) == {
        "masked_lm_loss",
        "next_sentence_loss",
        "masked_lm_accuracy",
        "next_sentence_accuracy",
        "next_sentence_random",
    }
    # The rate of the last step that was made: number 3 of 12, counted from 0.
    assert lines[0]["learning_rate"] == pytest.approx(1e-2 * (1 - 3 / 12), rel=1e-5)
    assert lines[0]["gradient_norm"] > 0
    assert int(state.step.numpy()) == 12


@pytest.mark.long
def test_the_first_log_is_the_mean_over_its_steps(whole, tmp_path):
    _train(tmp_path, TRAIN.replace(log_every=1, num_steps=12, checkpoint_every=0), eval_data=None)
    single = _lines(tmp_path)
    together = [line for line in _lines(whole[0]) if line["kind"] == "train"]
    for number, line in enumerate(together):
        steps = single[4 * number : 4 * number + 4]
        counts = [random_pretraining_batch(4 * number + i)["masked_lm_weights"].sum() for i in range(4)]
        mean = np.average([step["masked_lm_loss"] for step in steps], weights=counts)
        assert line["masked_lm_loss"] == pytest.approx(mean, rel=1e-5)


def test_tensorboard(whole):
    from tensorflow.compat.v1.train import summary_iterator

    folder, _, scores = whole
    for kind in ("train", "eval"):
        found = {}
        for path in (folder / kind).glob("events.out.tfevents.*"):
            for event in summary_iterator(str(path)):
                for value in event.summary.value:
                    assert value.metadata.plugin_data.plugin_name == "scalars"
                    found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
        lines = [line for line in _lines(folder) if line["kind"] == kind]
        for line in lines:
            for name in line.keys() - {"kind", "step"}:
                assert found[name, line["step"]] == pytest.approx(line[name], rel=1e-6)
    assert found["masked_lm_loss", 12] == pytest.approx(scores["masked_lm_loss"], rel=1e-6)


def test_checkpoints_on_the_way(whole):
    assert [checkpoint.step for checkpoint in checkpoints.complete_checkpoints(str(whole[0]))] == [4, 8, 12]


def _events(train):
    step, events = 0, []
    while step < train.num_steps:
        step += loop._steps_to_next_event(step, train)
        events.append(step)
    return events


def test_steps_between_events():
    base = TrainConfig(num_steps=20, steps_per_loop=100, log_every=0)
    assert _events(base) == [20]
    assert _events(base.replace(steps_per_loop=8)) == [8, 16, 20]
    assert _events(base.replace(log_every=6, checkpoint_every=10)) == [6, 10, 12, 18, 20]
    assert _events(base.replace(log_every=5, eval_every=7)) == [5, 7, 10, 14, 15, 20]
    assert _events(base.replace(steps_per_loop=1)) == list(range(1, 21))
    assert [step for step in range(1, 21) if loop._is_due(step, 7, 20)] == [7, 14, 20]
    assert [step for step in range(1, 21) if loop._is_due(step, 0, 20)] == [20]


def test_the_progress_bar_leaves_out_losses_of_nothing():
    values = {"masked_lm_loss": 2.0, "next_sentence_loss": np.nan, "loss_scale": 1.0, "tokens_per_second": 1234.0}
    assert loop._summary(values) == "masked_lm_loss 2.000, 1,234 tokens/s"


def _diverging(at):
    """The pre-training objective whose loss is nan in batches that hold the sign 39 at the first place."""
    plain = pretraining_objective()

    def losses(outputs, batch):
        bad = tf.reduce_any(batch["input_ids"][:, 0] == 39)
        factor = tf.where(bad, float("nan"), 1.0)
        return {name: (total * factor, weight) for name, (total, weight) in pretraining_losses(outputs, batch).items()}

    def data(start):
        batches = [random_pretraining_batch(seed) for seed in range(start, 40)]
        for step, batch in enumerate(batches, start):
            batch["input_ids"][:, 0] = 39 if step == at else 2
        return tf.data.Dataset.from_tensor_slices(
            {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
        )

    return {"objective": Objective(losses, plain.weights, plain.metrics), "train_data": data}


@pytest.mark.usefixtures("eagerly")
def test_a_run_that_diverges_stops(tmp_path):
    # The checkpoint comes more often than the log: it must not save what diverged either.
    train = TRAIN.replace(checkpoint_every=2, log_every=6)
    with pytest.raises(
        FloatingPointError, match=r"step 6 is not finite: masked_lm_loss is nan, .*The last checkpoint is kept"
    ):
        _train(tmp_path, train, eval_data=None, **_diverging(at=5))
    newest = checkpoints.newest_checkpoint(str(tmp_path))
    assert newest.step == 4
    state = TrainState(BertPretrainer(CONFIG))
    checkpoints.restore(newest, state.variables())
    assert all(np.isfinite(value).all() for value in numpy_weights(state.model).values())


def test_float16_lives_through_overflow_at_the_start(tmp_path):
    plain = pretraining_objective()

    def losses(outputs, batch):
        # A loss of 100 times its size overflows at the first scale, and does not some halvings later.
        return {name: (100 * total, weight) for name, (total, weight) in pretraining_losses(outputs, batch).items()}

    train = TRAIN.replace(precision="float16", log_every=1, steps_per_loop=1)
    objective = Objective(losses, plain.weights, plain.metrics)
    state, _ = _train(tmp_path, train, eval_data=None, objective=objective)
    assert 1.0 < float(state.loss_scale.scale) < 2.0**15
    assert int(state.step) == 12
    assert _lines(tmp_path)[0]["gradient_norm"] is None, "JSON has no NaN"
    assert _lines(tmp_path)[-1]["gradient_norm"] > 0


@pytest.mark.usefixtures("eagerly")
def test_where_the_weights_come_from(tmp_path):
    def initialize(state):
        state.weights["masked_lm/output_bias"].assign(tf.range(40, dtype=tf.float32))

    still = TRAIN.replace(num_steps=2, learning_rate=0.0, warmup_steps=0)
    state, _ = _train(tmp_path / "a", still, eval_data=None, initialize=initialize)
    np.testing.assert_array_equal(state.weights["masked_lm/output_bias"], np.arange(40))

    def never(state):
        raise AssertionError("a run that goes on keeps its weights")

    longer = still.replace(num_steps=4)
    state, _ = _train(tmp_path / "a", longer, eval_data=None, initialize=never)
    np.testing.assert_array_equal(state.weights["masked_lm/output_bias"], np.arange(40))


def test_evaluation_equals_the_mean_over_single_examples():
    keras.utils.set_random_seed(1)
    model = BertClassifier(SMALL, num_classes=3)
    examples = random_classification_batch(rows=10)
    padded = {name: np.concatenate([array, array[:2]]) for name, array in examples.items()}
    padded["label_weights"][10:] = 0
    evaluate = make_evaluation(model, classification_objective(), Distribution())
    found = evaluate(tf.data.Dataset.from_tensor_slices(padded).batch(4, drop_remainder=True))
    single = make_evaluation(model, classification_objective(), Distribution())
    alone = [single(tf.data.Dataset.from_tensor_slices(examples).skip(row).take(1).batch(1)) for row in range(10)]
    assert found == {name: pytest.approx(np.mean([one[name] for one in alone]), rel=1e-5) for name in found}
    with pytest.raises(ValueError, match="the evaluation set holds no batch"):
        evaluate(tf.data.Dataset.from_tensor_slices(padded).take(0).batch(4))


def test_golden_loss_curve():
    expected = json.loads((GOLDEN / "loss_curve.json").read_text(encoding="utf-8"))
    found = runpy.run_path(str(GOLDEN / "make_loss_curve.py"))["loss_curve"]()
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(expected, 50)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-3, rtol=1e-3, err_msg=name)


@pytest.mark.usefixtures("eagerly")
def test_a_finished_run_asks_the_hook_after_evaluations_again(tmp_path):
    asked = []

    def after_evaluation(evaluations):
        asked.append([step for step, _ in evaluations])
        return False

    train = TRAIN.replace(num_steps=4, eval_every=2)
    _, first = _train(tmp_path, train, after_evaluation=after_evaluation)
    assert asked == [[2], [2, 4]]
    asked.clear()
    _, again = _train(tmp_path, train, after_evaluation=after_evaluation)
    assert asked == [[2, 4]], "the best evaluation is known only from the hook"
    assert again == first
