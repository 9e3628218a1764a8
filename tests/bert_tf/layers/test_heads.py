import numpy as np
import numpy_bert
import pytest
import tensorflow as tf

from bert_tf.layers.heads import ClassificationHead, MaskedLMHead, Pooler, gather_positions


def _vectors(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def _randomise(layer):
    random = np.random.default_rng(0)
    for weight in layer.trainable_weights:
        weight.assign(random.standard_normal(tuple(weight.shape)))


def test_positions_of_each_row_are_gathered():
    x = _vectors(2, 5, 3)
    found = gather_positions(tf.constant(x), tf.constant([[4, 0], [2, 2]])).numpy()
    assert np.array_equal(found, [[x[0, 4], x[0, 0]], [x[1, 2], x[1, 2]]])


def test_the_pooler_equals_the_formula():
    layer = Pooler(8)
    layer.build()
    _randomise(layer)
    x = _vectors(3, 8)
    kernel, bias = (weight.numpy() for weight in layer.weights)
    np.testing.assert_allclose(layer(x), np.tanh(x @ kernel + bias), atol=1e-5)
    assert layer(_vectors(3, 2, 8)).shape == (3, 2, 8)


def test_masked_lm_head_equals_the_formula():
    layer = MaskedLMHead(vocab_size=11, hidden_size=8, name="masked_lm")
    layer.build()
    _randomise(layer)
    sequence, positions, table = _vectors(2, 6, 8), np.array([[5, 1], [0, 3]], "int32"), _vectors(11, 8, seed=2)
    found = layer(sequence, positions, table)
    assert found.shape == (2, 2, 11)
    weights = {w.path: np.asarray(w.numpy(), np.float64) for w in layer.weights}
    weights["encoder/embeddings/word_embeddings/embeddings"] = table.astype(np.float64)
    for row in range(2):
        expected = numpy_bert.masked_lm_logits(sequence[row].astype(np.float64), positions[row], weights)
        np.testing.assert_allclose(found[row], expected, atol=2e-5)


def test_the_output_matrix_is_tied():
    layer = MaskedLMHead(vocab_size=11, hidden_size=8)
    layer.build()
    # Dense kernel and bias, gamma, beta, and a bias for each token, but no output matrix.
    assert sorted(tuple(w.shape) for w in layer.weights) == [(8,), (8,), (8,), (8, 8), (11,)]
    table = tf.Variable(_vectors(11, 8))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(_vectors(1, 3, 8), np.array([[1]], "int32"), table) ** 2)
    assert np.abs(tape.gradient(loss, table)).sum(-1).min() > 0


def test_the_classification_head_equals_the_formula_and_drops():
    layer = ClassificationHead(3, hidden_size=8, dropout_rate=0.5)
    layer.build()
    _randomise(layer)
    x = _vectors(4, 8)
    kernel, bias = (w.numpy() for w in layer.trainable_weights)
    np.testing.assert_allclose(layer(x), x @ kernel + bias, atol=1e-5)
    assert not np.allclose(layer(x, training=True, seed=1), layer(x))
    assert np.array_equal(layer(x, training=True, seed=1), layer(x, training=True, seed=1))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_logits_are_float32(policy):
    masked_lm = MaskedLMHead(vocab_size=11, hidden_size=8, dtype=policy)
    classification = ClassificationHead(3, hidden_size=8, dtype=policy)
    for layer in (masked_lm, classification):
        layer.build()
        assert {weight.dtype for weight in layer.trainable_weights} == {"float32"}
    assert masked_lm(_vectors(1, 4, 8), np.array([[1]], "int32"), _vectors(11, 8)).dtype == tf.float32
    assert classification(_vectors(2, 8)).dtype == tf.float32
