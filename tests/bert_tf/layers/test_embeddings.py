import keras
import numpy as np
import numpy_bert
import pytest
import tensorflow as tf

from bert_tf.layers.embeddings import BertEmbeddings
from bert_tf.layers.initializers import ScaledSinusoids, sinusoids


def _layer(**changes):
    sizes = {"vocab_size": 20, "hidden_size": 8, "max_position_embeddings": 10, "type_vocab_size": 3}
    layer = BertEmbeddings(**(sizes | changes), name="embeddings")
    layer.build()
    return layer


def _randomise(layer, scale=1.0):
    random = np.random.default_rng(0)
    for weight in layer.trainable_weights:
        weight.assign(scale * random.standard_normal(tuple(weight.shape)))


def _inputs():
    random = np.random.default_rng(1)
    return [random.integers(0, high, (3, 7)).astype("int32") for high in (20, 3, 10)]


@pytest.mark.parametrize("scale", [1.0, 1e-5])
def test_equals_lookups_and_layer_norm(scale):
    # At scale 1e-5 the variance is 1e-10, which an epsilon of 1e-6 or 1e-3 would hide.
    layer = _layer()
    _randomise(layer, scale)
    layer.layer_norm.gamma.assign(np.linspace(0.5, 2, 8))
    weights = {w.path.removeprefix("embeddings/"): np.asarray(w.numpy(), np.float64) for w in layer.weights}
    ids, segments, positions = _inputs()
    expected = numpy_bert.embed(ids, segments, positions, weights)
    np.testing.assert_allclose(layer(ids, segments, positions), expected, atol=2e-5)
    assert np.std(expected) > 0.5


class _Outer(keras.layers.Layer):
    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, *inputs):
        return self.inner(*inputs)


def test_tables_are_read_in_float32():
    layer = _layer(dtype="mixed_bfloat16")
    _randomise(layer)
    full = _layer()
    full.set_weights(layer.get_weights())
    # In a model, the outer layer's policy would let variables be read in bfloat16.
    found = _Outer(layer, dtype="mixed_bfloat16")(*_inputs())
    assert found.dtype == tf.bfloat16
    assert np.array_equal(found, tf.cast(full(*_inputs()), tf.bfloat16))


def test_every_table_learns():
    layer = _layer()
    ids, segments, positions = _inputs()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(ids, segments, positions)[..., 0] ** 2)
    gradients = tape.gradient(loss, [v.value for v in layer.trainable_variables])
    assert len(gradients) == 5
    word = tf.convert_to_tensor(gradients[0]).numpy()
    used = np.zeros(20, bool)
    used[ids] = True
    assert (np.abs(word).sum(-1) > 0).tolist() == used.tolist()
    assert all(np.abs(tf.convert_to_tensor(g)).sum() > 0 for g in gradients)


def test_tables_start_from_truncated_normals():
    layer = _layer(vocab_size=2000, max_position_embeddings=400, type_vocab_size=2, hidden_size=64)
    # A normal distribution truncated at two standard deviations has 0.8796 of its deviation.
    for table in (layer.word_embeddings, layer.position_embeddings):
        values = table.embeddings.numpy()
        assert np.std(values) == pytest.approx(0.02 * 0.87962566, rel=0.02)
        assert 0.039 < np.abs(values).max() <= 0.04
    assert np.abs(layer.token_type_embeddings.embeddings.numpy()).max() <= 0.04
    assert np.all(layer.layer_norm.gamma.numpy() == 1)
    assert np.all(layer.layer_norm.beta.numpy() == 0)
    assert not np.array_equal(
        layer.word_embeddings.embeddings.numpy()[:400], layer.position_embeddings.embeddings.numpy()
    )


def test_sinusoids_equal_the_formula():
    table = sinusoids(50, 6)
    assert table.dtype == np.float32
    for position in (0, 1, 49):
        for i, wavelength in enumerate((1.0, 10000 ** (1 / 3), 10000 ** (2 / 3))):
            assert table[position, i] == pytest.approx(np.sin(position / wavelength), abs=1e-5)
            assert table[position, 3 + i] == pytest.approx(np.cos(position / wavelength), abs=1e-5)
    assert sinusoids(4, 5).shape == (4, 5)


def test_sinusoidal_positions_are_fixed_or_initial_values():
    fixed = _layer(position_embedding="sinusoidal", hidden_size=16)
    learned = _layer(position_initializer="sinusoidal", hidden_size=16)
    assert "position_embeddings" not in " ".join(w.path for w in fixed.trainable_weights)
    assert "position_embeddings" in " ".join(w.path for w in learned.trainable_weights)
    for layer in (fixed, learned):
        table = layer.position_embeddings.embeddings.numpy()
        np.testing.assert_allclose(table, sinusoids(10, 16) * 0.02 * np.sqrt(2), rtol=1e-6)
    again = ScaledSinusoids.from_config(ScaledSinusoids(0.5).get_config())
    np.testing.assert_array_equal(again((4, 6)), ScaledSinusoids(0.5)((4, 6)))


def test_the_embeddings_have_dropout():
    layer = _layer(dropout_rate=0.5)
    ids = np.ones((8, 10), "int32") * 4
    one, same, other = (layer(ids, ids * 0, ids * 0, training=True, seed=s).numpy() for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.mean(one == 0) == pytest.approx(0.5, abs=0.1)
