import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL

from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.models.weights import named_weights
from bert_tf.optimization import (
    clip_factor,
    global_norm,
    is_decayed,
    learning_rate_at,
    matrices_in,
    orthogonalised,
    update,
)


def _random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def _reference(weight, gradients, rates, config, decayed):
    """Apply AdamW or LAMB in NumPy float64, step by step."""
    m = np.zeros_like(weight)
    v = np.zeros_like(weight)
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        m += (1 - config.beta1) * (g - m)
        v += (1 - config.beta2) * (g * g - v)
        m_hat = m / (1 - config.beta1**t) if config.bias_correction else m
        v_hat = v / (1 - config.beta2**t) if config.bias_correction else v
        step = m_hat / (np.sqrt(v_hat) + config.epsilon)
        if decayed:
            step = step + config.weight_decay * weight
            if config.name == "lamb":
                step = step * np.linalg.norm(weight) / np.linalg.norm(step)
        weight = weight - rate * step
    return weight


@pytest.mark.parametrize("name", ["adamw", "lamb"])
@pytest.mark.parametrize("bias_correction", [False, True])
@pytest.mark.parametrize("decayed", [False, True])
def test_update_equals_numpy(name, bias_correction, decayed):
    config = OptimizerConfig(name=name, bias_correction=bias_correction, beta1=0.8, beta2=0.95, weight_decay=0.1)
    start = _random(4, 3)
    gradients = [0.1 * _random(4, 3, seed=seed) for seed in range(1, 11)]
    rates = np.linspace(0.05, 0.01, 10)
    weight, first, second = (np.asarray(x, "float32") for x in (start, 0 * start, 0 * start))
    for step, (gradient, rate) in enumerate(zip(gradients, rates, strict=True)):
        weight, first, second = update(
            weight,
            gradient.astype("float32"),
            first,
            second,
            step=step,
            learning_rate=np.float32(rate),
            decayed=decayed,
            config=config,
        )
    np.testing.assert_allclose(weight, _reference(start, gradients, rates, config, decayed), rtol=2e-5, atol=1e-6)


def test_the_first_update_by_hand():
    # Gradient 1, rate 0.1: without bias correction 0.1 * 0.1 / (sqrt(0.001) + 1e-6); with it, 0.1 * 1 / (1 + 1e-6).
    zero = np.zeros(1, "float32")
    one = np.ones(1, "float32")
    for corrected, expected in ((False, -0.01 / (0.001**0.5 + 1e-6)), (True, -0.1 / (1 + 1e-6))):
        config = OptimizerConfig(bias_correction=corrected)
        weight, first, second = update(
            zero, one, zero, zero, step=0, learning_rate=np.float32(0.1), decayed=False, config=config
        )
        assert float(weight[0]) == pytest.approx(expected, rel=1e-5)
        assert (float(first[0]), float(second[0])) == pytest.approx((0.1, 0.001), rel=1e-6)


def test_decay_is_decoupled():
    # Without a gradient, the weight shrinks by rate x decay, whatever the moments are.
    zero, weight = np.zeros(3, "float32"), np.full(3, 2.0, "float32")
    new, _, _ = update(
        weight,
        zero,
        zero,
        zero,
        step=0,
        learning_rate=np.float32(0.5),
        decayed=True,
        config=OptimizerConfig(weight_decay=0.1),
    )
    np.testing.assert_allclose(new, 2 - 0.5 * 0.1 * 2, rtol=1e-6)
    kept, _, _ = update(
        weight,
        zero,
        zero,
        zero,
        step=0,
        learning_rate=np.float32(0.5),
        decayed=False,
        config=OptimizerConfig(weight_decay=0.1),
    )
    np.testing.assert_array_equal(kept, weight)


def test_lamb_updates_a_zero_weight_like_adamw():
    config = OptimizerConfig(name="lamb")
    zero, one = np.zeros(2, "float32"), np.ones(2, "float32")
    plain, _, _ = update(
        zero, one, zero, zero, step=0, learning_rate=np.float32(0.1), decayed=True, config=config.replace(name="adamw")
    )
    lamb, _, _ = update(zero, one, zero, zero, step=0, learning_rate=np.float32(0.1), decayed=True, config=config)
    assert np.array_equal(plain, lamb)
    assert np.isfinite(lamb).all()


def _muon_steps(start, gradients, rates, matrices, config):
    weight, first, second = (np.asarray(x, "float32") for x in (start, 0 * start, 0 * start))
    for step, (gradient, rate) in enumerate(zip(gradients, rates, strict=True)):
        weight, first, second = update(
            weight,
            gradient,
            first,
            second,
            step=step,
            learning_rate=np.float32(rate),
            decayed=True,
            config=config,
            matrices=matrices,
        )
    assert not np.any(second)
    return np.asarray(weight)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
def test_muon_equals_that_of_keras(shape):
    import keras

    rates = (0.05, 0.03, 0.02, 0.01)
    start = _random(*shape).astype("float32")
    gradients = [_random(*shape, seed=seed).astype("float32") for seed in range(1, 5)]
    variable = keras.Variable(start)
    optimizer = keras.optimizers.Muon(weight_decay=0.1)
    for gradient, rate in zip(gradients, rates, strict=True):
        optimizer.learning_rate = rate
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    found = _muon_steps(start, gradients, rates, 1, OptimizerConfig(name="muon", weight_decay=0.1))
    np.testing.assert_allclose(found, variable.numpy(), rtol=1e-4, atol=1e-5)
    assert np.abs(found - start).max() > 0.02, "the weights moved by far more than the tolerance"


def test_muon_takes_query_key_and_value_apart():
    config = OptimizerConfig(name="muon", weight_decay=0.0)
    start, gradient = _random(4, 12).astype("float32"), _random(4, 12, seed=1).astype("float32")
    gradient[:, 4:8] *= 100.0  # would be most of the whole matrix
    whole = _muon_steps(start, [gradient], [0.1], 3, config)
    for place in range(3):
        part = slice(4 * place, 4 * place + 4)
        alone = _muon_steps(start[:, part], [gradient[:, part]], [0.1], 1, config)
        np.testing.assert_allclose(whole[:, part], alone, rtol=1e-5, atol=1e-6)


def test_orthogonalised_matrices_have_singular_values_near_one():
    matrices = _random(2, 8, 5).astype("float32") * np.array([[[1e-3]], [[1e3]]], "float32")
    found = np.linalg.svd(np.asarray(orthogonalised(matrices)), compute_uv=False)
    assert found.shape == (2, 5)
    assert found.min() > 0.6
    assert found.max() < 1.3
    assert not np.any(orthogonalised(np.zeros((1, 3, 4), "float32")))


def test_muon_updates_the_kernels_of_blocks_alone():
    names = list(named_weights(BertPretrainer(SMALL.replace(num_layers=1))))
    assert {name: matrices_in(name) for name in names if matrices_in(name)} == {
        "encoder/block_0/attention/query_key_value/kernel": 3,
        "encoder/block_0/attention/output_dense/kernel": 1,
        "encoder/block_0/intermediate_dense/kernel": 1,
        "encoder/block_0/output_dense/kernel": 1,
    }
    start, gradient = _random(4, 3).astype("float32"), _random(4, 3, seed=1).astype("float32")
    zero = np.zeros_like(start)
    adamw, muon = (
        update(
            start,
            gradient,
            zero,
            zero,
            step=0,
            learning_rate=np.float32(0.1),
            decayed=True,
            config=OptimizerConfig(name=name),
        )
        for name in ("adamw", "muon")
    )
    for expected, found in zip(adamw, muon, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_kernels_and_embeddings_are_decayed():
    names = list(named_weights(BertPretrainer(SMALL.replace(num_layers=1))))
    decayed = {name for name in names if is_decayed(name)}
    assert decayed == {
        "encoder/embeddings/word_embeddings/embeddings",
        "encoder/embeddings/position_embeddings/embeddings",
        "encoder/embeddings/token_type_embeddings/embeddings",
        "encoder/block_0/attention/query_key_value/kernel",
        "encoder/block_0/attention/output_dense/kernel",
        "encoder/block_0/intermediate_dense/kernel",
        "encoder/block_0/output_dense/kernel",
        "encoder/pooler/dense/kernel",
        "masked_lm/dense/kernel",
        "next_sentence/dense/kernel",
    }
    assert {name.rsplit("/", 1)[1] for name in set(names) - decayed} == {"gamma", "beta", "bias", "output_bias"}


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.0),
        (1, 0.1),
        (5, 0.5),
        (9, 0.9),
        (10, 0.9),  # the decay starts at step 0: 10 % are gone when the warm-up ends
        (50, 0.5),
        (99, 0.01),
        (100, 0.0),
        (120, 0.0),
    ],
)
def test_the_linear_schedule(step, rate):
    train = TrainConfig(num_steps=100, warmup_steps=10, learning_rate=1.0)
    assert float(learning_rate_at(step, train, OptimizerConfig())) == pytest.approx(rate, abs=1e-6)


def test_other_schedules():
    train = TrainConfig(num_steps=100, warmup_steps=0, learning_rate=2.0)
    constant = OptimizerConfig(decay_schedule="constant")
    assert float(learning_rate_at(0, train, constant)) == float(learning_rate_at(99, train, constant)) == 2.0
    assert float(learning_rate_at(0, train, OptimizerConfig())) == 2.0
    warm = train.replace(warmup_steps=4)
    assert [float(learning_rate_at(step, warm, constant)) for step in range(6)] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]
    after_warmup = OptimizerConfig(decay_schedule="linear_after_warmup")
    rates = [float(learning_rate_at(step, warm, after_warmup)) for step in (0, 2, 4, 52, 100, 101)]
    assert rates == pytest.approx([0.0, 1.0, 2.0, 1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.0), (5, 1.0), (10, 2.0), (50, 2.0), (80, 2.0), (90, 1.0), (95, 0.5), (99, 0.1), (100, 0.0), (120, 0.0)],
)
def test_a_stable_rate_decays_at_the_end(step, rate):
    train = TrainConfig(num_steps=100, warmup_steps=10, learning_rate=2.0)
    optimizer = OptimizerConfig(decay_schedule="warmup_stable_decay", decay_share=0.2)
    assert float(learning_rate_at(step, train, optimizer)) == pytest.approx(rate, abs=1e-6)
    # A schedule that begins later, of a phase, has the same rates.
    phase = train.replace(num_steps=130, schedule_start=30, schedule_steps=100)
    assert float(learning_rate_at(step + 30, phase, optimizer)) == pytest.approx(rate, abs=1e-6)


def test_the_clip_factor_limits_the_global_norm():
    gradients = [np.array([3.0, 0.0], "float32"), np.array([[4.0]], "float32")]
    norm = global_norm(gradients)
    assert float(norm) == pytest.approx(5)
    assert float(clip_factor(norm, 1.0)) == pytest.approx(0.2)
    assert float(clip_factor(norm, 10.0)) == 1.0
    assert float(clip_factor(norm, 0.0)) == 1.0
    assert float(clip_factor(0.0 * norm, 1.0)) == 1.0


def test_the_order_in_which_a_norm_is_added_is_fixed():
    # Grappler turns a chain of additions into an AddN, whose order depends on free buffers.
    graph = tf.function(global_norm).get_concrete_function([tf.TensorSpec([4])] * 5).graph
    assert not {"AddV2", "AddN", "Add"} & {operation.type for operation in graph.get_operations()}
    assert float(global_norm([tf.fill([4], 1.0), tf.fill([3], 2.0)])) == 4.0
