"""The step: determinism, sparse gradients, parts of a batch, half precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from drawn_masks import ShowingPretrainer, numbered, showing_objective
from small_model import (
    SMALL,
    numpy_weights,
    packed_pretraining_batch,
    random_classification_batch,
    random_pretraining_batch,
)

from bert_tf import optimization
from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.configs.training import DTYPE_POLICIES
from bert_tf.layers.random_bits import fold_in
from bert_tf.models.classifier import BertClassifier
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.objectives.losses import classification_losses, pretraining_losses
from bert_tf.objectives.objective import Objective, classification_objective, pretraining_objective
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.state import TrainState
from bert_tf.training.tensorflow_engine.step import TrainStep

TRAIN = TrainConfig(
    num_steps=50, batch_size=4, learning_rate=1e-2, warmup_steps=0, eval_batch_size=4, jit_compile=False
)
DROPPING = SMALL.replace(num_layers=1, dropout_rate=0.2, attention_dropout_rate=0.2)


def _state(config=DROPPING, precision="float32"):
    keras.utils.set_random_seed(0)
    return TrainState(BertPretrainer(config, dtype=DTYPE_POLICIES[precision]), precision)


def _tensors(batch):
    return {name: tf.constant(array) for name, array in batch.items()}


def _run(steps, state=None, train=TRAIN, optimizer=OptimizerConfig(), **changes):  # noqa: B008 (frozen)
    """State and results after some steps, each on another batch."""
    state = state or _state(**changes)
    step = tf.function(
        TrainStep(state, pretraining_objective(), train=train, optimizer=optimizer, distribution=Distribution())
    )
    sums = [step(_tensors(random_pretraining_batch(seed=number))) for number in range(steps)]
    return state, [{name: (float(a), float(b)) for name, (a, b) in one.items()} for one in sums]


@pytest.fixture(scope="module")
def whole():
    """State and results after four steps with dropout."""
    return _run(4)


def test_the_same_seed_gives_the_same_bits(whole):
    _require_equal_bits(whole, _run(4))


@pytest.mark.long
def test_the_same_seed_gives_the_same_bits_compiled():
    _require_equal_bits(*(_run(4, train=TRAIN.replace(jit_compile=True)) for _ in range(2)))


def _require_equal_bits(one, other):
    (first, sums), (second, again) = one, other
    assert sums == again
    for name, value in first.variables().items():
        assert np.array_equal(value.numpy(), second.variables()[name].numpy()), name
    assert int(first.step) == 4


@pytest.mark.long
def test_another_seed_gives_other_masks():
    first, second = (numpy_weights(_run(2, train=TRAIN.replace(seed=seed))[0].model) for seed in (0, 1))
    name = "encoder/block_0/intermediate_dense/kernel"
    assert not np.allclose(first[name], second[name], atol=1e-6)


def test_each_step_has_other_masks():
    # A learning rate of 0 leaves the weights: the same batch differs by its masks alone.
    state = _state()
    step = TrainStep(
        state,
        pretraining_objective(),
        train=TRAIN.replace(learning_rate=0.0),
        optimizer=OptimizerConfig(),
        distribution=Distribution(),
    )
    batch = _tensors(random_pretraining_batch())
    losses = [float(step(batch)["masked_lm_loss"][0]) for _ in range(3)]
    assert len(set(losses)) == 3
    assert int(state.step) == 3


def test_update_equals_the_dense_one():
    # A row of the batch repeats tokens, so that the sparse gradient names a row of the embeddings several times. (A
    # pre-trainer's is dense, since its output matrix is the same table.)
    batch = _tensors(random_classification_batch(rows=6))
    keras.utils.set_random_seed(0)
    state = TrainState(BertClassifier(SMALL.replace(num_layers=1), num_classes=3, dropout_rate=0.0))
    before = numpy_weights(state.model)
    table = state.weights["encoder/embeddings/word_embeddings/embeddings"]
    with tf.GradientTape() as tape:
        ((total, weight),) = classification_losses(state.model(batch), batch).values()
        loss = total / weight
    sparse = tape.gradient(loss, table.value)
    assert isinstance(sparse, tf.IndexedSlices)
    assert len(set(sparse.indices.numpy().tolist())) < len(sparse.indices)
    dense = np.zeros(table.shape, np.float64)
    np.add.at(dense, sparse.indices.numpy(), sparse.values.numpy().astype(np.float64))

    optimizer = OptimizerConfig(clip_norm=0.0)
    TrainStep(state, classification_objective(), train=TRAIN, optimizer=optimizer, distribution=Distribution())(batch)
    name = "encoder/embeddings/word_embeddings/embeddings"
    first, second = (moment.numpy() for moment in state.moments[name])
    np.testing.assert_allclose(first, 0.1 * dense, rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(second, 0.001 * dense**2, rtol=1e-3, atol=1e-12)
    direction = 0.1 * dense / (np.sqrt(0.001 * dense**2) + 1e-6) + 0.01 * before[name]
    np.testing.assert_allclose(table.numpy(), before[name] - 1e-2 * direction, rtol=1e-4, atol=1e-5)


def test_clipping_bounds_the_whole_gradient():
    state = _state(SMALL.replace(num_layers=1))
    _, sums = _run(1, state, optimizer=OptimizerConfig(clip_norm=1e-3))
    norm = np.sqrt(sum(np.sum((moments[0].numpy() / 0.1) ** 2) for moments in state.moments.values()))
    assert sums[0]["gradient_norm"][0] > 0.1
    assert norm == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize(
    ("parts", "jit_compile"), [(2, False), *(pytest.param(parts, True, marks=pytest.mark.long) for parts in (2, 4))]
)
def test_parts_of_a_batch_give_the_gradient_of_the_whole(whole, parts, jit_compile):
    state, sums = whole
    split, other = _run(4, train=TRAIN.replace(concurrent_parts=parts, jit_compile=jit_compile))
    for name, value in numpy_weights(state.model).items():
        # Adam divides by a gradient's size: where that is almost zero, rounding shows (5e-5 in one element of 512).
        np.testing.assert_allclose(numpy_weights(split.model)[name], value, atol=1e-4, err_msg=name)
    for one, two in zip(sums, other, strict=True):
        assert two == {name: pytest.approx(pair, rel=1e-4) for name, pair in one.items()}


@pytest.mark.parametrize(
    ("steps", "parts", "jit_compile"),
    [(2, 1, False), pytest.param(4, 1, True, marks=pytest.mark.long), pytest.param(2, 2, True, marks=pytest.mark.long)],
)
def test_accumulated_gradients_update_as_the_whole_batch(steps, parts, jit_compile):
    # Three sequences a row, and predictions that count differently in each part of the batch. The rule's epsilon is
    # large: Adam's own would turn the last bit of a vanishing gradient into a whole step.
    optimizer = OptimizerConfig(epsilon=1e-3)
    batch = _tensors(packed_pretraining_batch(rows=4))
    states, sums = [], []
    for train in (
        TRAIN,
        TRAIN.replace(gradient_accumulation_steps=steps, concurrent_parts=parts, jit_compile=jit_compile),
    ):
        states.append(_state())  # with dropout
        step = tf.function(
            TrainStep(
                states[-1], pretraining_objective(), train=train, optimizer=optimizer, distribution=Distribution()
            )
        )
        for _ in range(2):
            results = step(batch)
        sums.append({name: (float(total), float(weight)) for name, (total, weight) in results.items()})
    whole, accumulated = (numpy_weights(state.model) for state in states)
    for name, value in whole.items():
        np.testing.assert_allclose(accumulated[name], value, atol=1e-6, err_msg=name)
    assert sums[1] == {name: pytest.approx(pair, rel=1e-5) for name, pair in sums[0].items()}


def test_each_accumulated_part_has_its_own_masks():
    batch = {name: tf.repeat(tensor[:1], 2, axis=0) for name, tensor in _tensors(random_pretraining_batch()).items()}
    plain = pretraining_objective()
    losses = []

    def remembered(outputs, part):
        sums = pretraining_losses(outputs, part)
        tf.py_function(lambda total: losses.append(float(total)), [sums["masked_lm_loss"][0]], [])
        return sums

    train = TRAIN.replace(batch_size=2, gradient_accumulation_steps=2)
    objective = Objective(remembered, plain.weights, plain.metrics)
    TrainStep(_state(), objective, train=train, optimizer=OptimizerConfig(), distribution=Distribution())(batch)
    assert len(losses) == 2
    assert losses[0] != losses[1]


@pytest.mark.parametrize(("steps", "parts"), [(1, 1), (1, 4), (4, 1), (2, 2)])
def test_parts_draw_the_masks_of_the_whole_batch(steps, parts):
    batch = _tensors(numbered(random_pretraining_batch(rows=8)))
    keras.utils.set_random_seed(0)
    state = TrainState(ShowingPretrainer(DROPPING))
    state.step.assign(3)
    train = TRAIN.replace(batch_size=8, seed=11, gradient_accumulation_steps=steps, concurrent_parts=parts)
    step = TrainStep(state, showing_objective(8), train=train, optimizer=OptimizerConfig(), distribution=Distribution())
    expected = state.model(batch, training=True, seed=fold_in(11, 3))["masks"]
    assert 0.4 < np.mean(expected) < 0.6
    assert np.array_equal(step(batch)["masks"][0], expected)


def test_accelerators_take_the_batch_whole(monkeypatch):
    train = TRAIN.replace(concurrent_parts=2, jit_compile=False)
    batch = _tensors(random_pretraining_batch(rows=3))
    with pytest.raises(ValueError, match="Received: 3 rows, 2 x 1"):
        TrainStep(
            _state(), pretraining_objective(), train=train, optimizer=OptimizerConfig(), distribution=Distribution()
        )(batch)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: [kind] if kind == "GPU" else [])
    step = TrainStep(
        _state(), pretraining_objective(), train=train, optimizer=OptimizerConfig(), distribution=Distribution()
    )
    assert step(batch)["masked_lm_loss"][1] > 0


def test_rows_that_cannot_be_split():
    step = TrainStep(
        _state(),
        pretraining_objective(),
        train=TRAIN.replace(gradient_accumulation_steps=4),
        optimizer=OptimizerConfig(),
        distribution=Distribution(),
    )
    with pytest.raises(ValueError, match=r"multiple of `train\.concurrent_parts` x .*Received: 6 rows, 1 x 4"):
        step(_tensors(random_pretraining_batch(rows=6)))


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_loss_falls(name):
    state = _state()
    optimizer = OptimizerConfig(name=name)
    step = tf.function(
        TrainStep(state, pretraining_objective(), train=TRAIN, optimizer=optimizer, distribution=Distribution())
    )
    batch = _tensors(random_pretraining_batch())
    losses = [step(batch)["masked_lm_loss"] for _ in range(25)]
    first, last = (float(total / weight) for total, weight in (losses[0], losses[-1]))
    assert last < 0.6 * first


def test_weights_are_updated_in_float32_under_bfloat16(whole):
    state, sums = _run(2, precision="bfloat16")
    assert all(tf.as_dtype(weight.dtype) == tf.float32 for weight in state.weights.values())
    for one, two in zip(sums, whole[1][:2], strict=True):
        assert one["masked_lm_loss"] == pytest.approx(two["masked_lm_loss"], rel=0.02)
    assert state.loss_scale is None


def _float16(loss_factor):
    """A float16 run of an objective whose gradient is `loss_factor` times the real one, and the variable it is in."""
    factor = tf.Variable(loss_factor)

    def losses(outputs, batch):
        return {name: (total * factor, weight) for name, (total, weight) in pretraining_losses(outputs, batch).items()}

    plain = pretraining_objective()
    state = _state(SMALL.replace(num_layers=1), "float16")
    objective = Objective(losses, plain.weights, plain.metrics)
    step = tf.function(
        TrainStep(state, objective, train=TRAIN, optimizer=OptimizerConfig(), distribution=Distribution())
    )
    return state, factor, step


def test_overflow_skips_the_step_and_halves_the_scale():
    state, factor, step = _float16(1.0)
    batch = _tensors(random_pretraining_batch())
    sums = step(batch)
    assert float(state.loss_scale.scale) == 2.0**15
    assert int(state.loss_scale.finite_steps) == 1
    assert float(sums["gradient_norm"][1]) == 1
    weights, moments = numpy_weights(state.model), {n: [x.numpy() for x in m] for n, m in state.moments.items()}

    factor.assign(1e6)  # times the scale, beyond float16's 65504
    sums = step(batch)
    assert (float(state.loss_scale.scale), int(state.loss_scale.finite_steps), int(state.step)) == (2.0**14, 0, 2)
    assert tuple(map(float, sums["gradient_norm"])) == (0.0, 0.0)
    for name, value in numpy_weights(state.model).items():
        assert np.array_equal(value, weights[name])
        assert all(np.array_equal(a.numpy(), b) for a, b in zip(state.moments[name], moments[name], strict=True))

    factor.assign(1.0)
    assert float(step(batch)["gradient_norm"][1]) == 1
    assert not np.array_equal(numpy_weights(state.model)["masked_lm/dense/kernel"], weights["masked_lm/dense/kernel"])


def test_the_scale_grows_after_a_long_time(monkeypatch):
    monkeypatch.setattr("bert_tf.training.loss_scale._GROWTH_STEPS", 3)
    state, _, step = _float16(1.0)
    batch = _tensors(random_pretraining_batch())
    seen = []
    for _ in range(4):
        step(batch)
        seen.append((float(state.loss_scale.scale), int(state.loss_scale.finite_steps)))
    assert seen == [(2.0**15, 1), (2.0**15, 2), (2.0**16, 0), (2.0**16, 1)]


def test_the_scale_does_not_change_the_update():
    updated = []
    state, _, step = _float16(1.0)
    start = {name: variable.numpy() for name, variable in state.variables().items()}
    for scale in (2.0**15, 2.0**5):
        for name, variable in state.variables().items():
            variable.assign(start[name])
        state.loss_scale.scale.assign(scale)
        sums = step(_tensors(random_pretraining_batch()))
        updated.append((numpy_weights(state.model), float(sums["gradient_norm"][0])))
    assert updated[0][1] == pytest.approx(updated[1][1], rel=1e-2)
    name = "masked_lm/dense/kernel"
    np.testing.assert_allclose(updated[0][0][name], updated[1][0][name], atol=2e-2 * TRAIN.learning_rate * 3)


def test_a_checkpoint_holds_everything():
    state = _state(precision="float16")
    names = set(state.variables())
    assert {"step", "loss_scale", "finite_steps"} <= names
    weights = set(state.weights)
    assert names - {"step", "loss_scale", "finite_steps"} == weights | {
        f"{moment}:{name}" for moment in optimization.MOMENTS for name in weights
    }
