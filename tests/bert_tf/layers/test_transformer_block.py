import math

import numpy as np
import numpy_bert
import pytest

from bert_tf.layers.attention import attention_allowed
from bert_tf.layers.base import activation
from bert_tf.layers.transformer_block import TransformerBlock


def _block(**changes):
    sizes = {"hidden_size": 16, "num_heads": 4, "intermediate_size": 32}
    layer = TransformerBlock(**(sizes | changes), name="block")
    layer.build()
    random = np.random.default_rng(0)
    for weight in layer.trainable_weights:
        weight.assign(0.3 * random.standard_normal(tuple(weight.shape)))
    return layer


@pytest.mark.parametrize(
    ("name", "reference"),
    [("gelu", numpy_bert.gelu), ("gelu_new", numpy_bert.gelu_new), ("relu", lambda x: np.maximum(x, 0))],
)
def test_activations_equal_their_formulas(name, reference):
    x = np.linspace(-6, 6, 201, dtype="float32")
    np.testing.assert_allclose(activation(name)(x), reference(x.astype(np.float64)), atol=2e-6)


def test_the_two_gelus_differ():
    x = np.linspace(-4, 4, 101, dtype="float32")
    difference = np.abs(np.asarray(activation("gelu")(x)) - np.asarray(activation("gelu_new")(x))).max()
    assert 1e-4 < difference < 1e-3
    assert float(activation("gelu")(np.float32(1.0))) == pytest.approx(0.5 * (1 + math.erf(math.sqrt(0.5))), abs=1e-6)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match=r"one of gelu, gelu_new, relu\. Received: 'swish'"):
        TransformerBlock(8, 2, 16, hidden_act="swish")


@pytest.mark.parametrize("name", ["gelu", "gelu_new"])
def test_a_block_equals_the_formula(name):
    layer = _block(hidden_act=name)
    x = np.random.default_rng(1).standard_normal((1, 6, 16)).astype("float32")
    weights = {w.path.removeprefix("block/"): np.asarray(w.numpy(), np.float64) for w in layer.trainable_weights}
    expected = numpy_bert.block(x[0].astype(np.float64), 4, weights, getattr(numpy_bert, name))
    np.testing.assert_allclose(layer(x, attention_allowed(np.ones((1, 6), "int32")))[0], expected, atol=1e-5)


def test_each_dropout_has_its_own_mask():
    layer = _block(dropout_rate=0.5, attention_dropout_rate=0.5)
    x = np.random.default_rng(1).standard_normal((2, 6, 16)).astype("float32")
    allowed = attention_allowed(np.ones((2, 6), "int32"))
    seeds = []
    for dropout in (layer.dropout, layer.attention.dropout):
        seed_and_rate = dropout.seed_and_rate
        dropout.seed_and_rate = lambda training, seed, seed_and_rate=seed_and_rate: (
            seeds.append(seed) or seed_and_rate(training, seed)
        )
    one = layer(x, allowed, training=True, seed=1).numpy()
    assert len({int(seed) for seed in seeds}) == 3
    assert np.array_equal(one, layer(x, allowed, training=True, seed=1))
    assert not np.array_equal(one, layer(x, allowed, training=True, seed=2))
    assert not np.array_equal(one, layer(x, allowed))


def test_kernels_biases_and_norms_have_bert_initial_values():
    layer = TransformerBlock(64, 4, 256)
    layer.build()
    kernels = [w for w in layer.weights if w.path.endswith("kernel")]
    assert len(kernels) == 4
    for kernel in kernels:
        values = kernel.numpy()
        assert np.std(values) == pytest.approx(0.02 * 0.87962566, rel=0.04)
        assert np.abs(values).max() <= 0.04
        assert values.mean() == pytest.approx(0, abs=1e-3)
    biases = [w for w in layer.weights if w.path.endswith(("bias", "beta"))]
    assert len(biases) == 6
    assert all(np.all(bias.numpy() == 0) for bias in biases)
    assert all(np.all(w.numpy() == 1) for w in layer.weights if w.path.endswith("gamma"))
