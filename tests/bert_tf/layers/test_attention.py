import keras
import numpy as np
import numpy_bert
import pytest
import tensorflow as tf
from small_model import SMALL, numpy_weights, shake

from bert_tf.layers.attention import SelfAttention, attention_allowed, attention_probabilities
from bert_tf.models.encoder import BertEncoder


def _attention(seed=0, **changes):
    layer = SelfAttention(**({"hidden_size": 16, "num_heads": 4} | changes), name="attention")
    layer.build((None, None, 16))
    random = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(0.3 * random.standard_normal(tuple(weight.shape)))
    return layer


def _weights(layer):
    return {w.path.removeprefix("attention/"): np.asarray(w.numpy(), np.float64) for w in layer.trainable_weights}


def _vectors(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def test_a_token_reads_the_tokens_of_its_own_sequence():
    allowed = attention_allowed(tf.constant([[1, 1, 2, 0]])).numpy()
    assert allowed.tolist() == [
        [[[True, True, False, False], [True, True, False, False], [False, False, True, False], [False] * 4]]
    ]


def test_equals_the_formula():
    layer, x = _attention(), _vectors(2, 7, 16)
    found = layer(x, attention_allowed(np.ones((2, 7), "int32"))).numpy()
    for row in range(2):
        expected = numpy_bert.attention(x[row].astype(np.float64), 4, _weights(layer))
        np.testing.assert_allclose(found[row], expected, atol=1e-5)


def test_the_scale_depends_on_the_head_size():
    # One head of size 16 and four of size 4 have the same weights, and differ in splitting and scale only.
    for num_heads in (1, 2, 16):
        layer, x = _attention(num_heads=num_heads), _vectors(1, 5, 16)
        expected = numpy_bert.attention(x[0].astype(np.float64), num_heads, _weights(layer))
        np.testing.assert_allclose(layer(x, attention_allowed(np.ones((1, 5), "int32")))[0], expected, atol=1e-5)


def test_padding_has_no_effect_on_tokens():
    layer, x = _attention(), _vectors(1, 6, 16)
    mask = np.array([[1, 1, 1, 1, 0, 0]], "int32")
    other = x.copy()
    other[:, 4:] = 1e3
    out = layer(x, attention_allowed(mask)).numpy()
    np.testing.assert_array_equal(out[:, :4], layer(other, attention_allowed(mask)).numpy()[:, :4])
    alone = layer(x[:, :4], attention_allowed(mask[:, :4])).numpy()
    np.testing.assert_allclose(out[:, :4], alone, atol=1e-5)
    assert np.isfinite(out).all()


def test_a_row_of_padding_alone_is_finite():
    out = _attention()(_vectors(1, 4, 16), attention_allowed(np.zeros((1, 4), "int32")))
    assert np.isfinite(out).all()


def test_packed_sequences_equal_sequences_alone():
    layer = _attention()
    first, second = _vectors(1, 5, 16, seed=1), _vectors(1, 3, 16, seed=2)
    row = np.concatenate([first, second, np.full((1, 2, 16), 50, "float32")], axis=1)
    packed = layer(row, attention_allowed(np.array([[1] * 5 + [2] * 3 + [0] * 2], "int32"))).numpy()
    for part, alone in ((packed[:, :5], first), (packed[:, 5:8], second)):
        ones = np.ones(alone.shape[:2], "int32")
        np.testing.assert_allclose(part, layer(alone, attention_allowed(ones)), atol=1e-5)


def test_the_encoder_keeps_packed_sequences_apart():
    encoder = BertEncoder(SMALL)
    shake(encoder)
    a, b = [2, 9, 3, 11, 3], [2, 30, 31, 3]
    packed = encoder(
        {
            "input_ids": np.array([[*a, *b, 0, 0]], "int32"),
            "input_mask": np.array([[1] * 5 + [2] * 4 + [0] * 2], "int32"),
            "segment_ids": np.array([[0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0]], "int32"),
            "position_ids": np.array([[0, 1, 2, 3, 4, 0, 1, 2, 3, 0, 0]], "int32"),
        }
    )["sequence_output"].numpy()
    for ids, segments, part in ((a, [0, 0, 0, 1, 1], packed[0, :5]), (b, [0, 0, 1, 1], packed[0, 5:9])):
        alone = encoder({"input_ids": np.array([ids], "int32"), "segment_ids": np.array([segments], "int32")})
        np.testing.assert_allclose(part, alone["sequence_output"][0], atol=1e-5)
        np.testing.assert_allclose(part, numpy_bert.encode(ids, segments, 4, numpy_weights(encoder)), atol=1e-5)


def test_the_softmax_is_float32_under_bfloat16(monkeypatch):
    layer = _attention(dtype="mixed_bfloat16")
    seen = []
    softmax = keras.ops.softmax
    monkeypatch.setattr(keras.ops, "softmax", lambda x, axis=-1: seen.append(x.dtype) or softmax(x, axis=axis))
    out = layer(tf.constant(_vectors(1, 4, 16)), attention_allowed(np.ones((1, 4), "int32")))
    assert seen == [tf.float32]
    assert out.dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.trainable_weights} == {"float32"}


def test_the_backward_pass_keeps_no_float32_scores():
    # Of the tensors that the backward pass reads, only the probabilities have the size of the scores.
    scores = tf.cast(_vectors(2, 4, 8, 8), tf.bfloat16)
    allowed = attention_allowed(np.ones((2, 8), "int32"))

    @tf.function
    def value_and_gradient(scores):
        with tf.GradientTape() as tape:
            tape.watch(scores)
            value = attention_probabilities(scores, allowed, training=True)
        return value, tape.gradient(value, scores, output_gradients=scores)

    value, gradient = value_and_gradient(scores)
    assert value.dtype == gradient.dtype == tf.bfloat16
    with tf.GradientTape() as tape:
        tape.watch(scores)
        plain = attention_probabilities(scores, allowed)
    np.testing.assert_array_equal(tf.cast(value, tf.float32), tf.cast(plain, tf.float32))
    expected = tape.gradient(plain, scores, output_gradients=scores)
    np.testing.assert_allclose(tf.cast(gradient, tf.float32), tf.cast(expected, tf.float32), atol=4e-3)
    # A float32 tensor among them could only be the softmax.
    graph = value_and_gradient.get_concrete_function(scores).graph
    (softmax,) = (operation for operation in graph.get_operations() if operation.type == "Softmax")
    assert [consumer.type for consumer in softmax.outputs[0].consumers()] == ["Cast"]


def test_the_mask_keeps_its_dtype(monkeypatch):
    # An additive mask of floats would be cast to bfloat16, and lose its precision.
    layer = _attention(dtype="mixed_bfloat16")
    seen = []
    where = keras.ops.where
    monkeypatch.setattr(keras.ops, "where", lambda c, a, b: seen.append((c.dtype, a.dtype)) or where(c, a, b))
    layer(tf.constant(_vectors(1, 4, 16)), attention_allowed(np.ones((1, 4), "int32")))
    assert seen == [(tf.bool, tf.float32)]


def test_dropout_is_applied_to_the_probabilities():
    layer, x = _attention(dropout_rate=0.5), _vectors(2, 6, 16)
    allowed = attention_allowed(np.ones((2, 6), "int32"))
    one, same, other = (layer(x, allowed, training=True, seed=seed).numpy() for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)
    assert not np.allclose(one, layer(x, allowed))
    # Dropout is unbiased: the mean over many masks is the output without dropout.
    mean = np.mean([layer(x, allowed, training=True, seed=seed).numpy() for seed in range(100)], axis=0)
    np.testing.assert_allclose(mean, layer(x, allowed), atol=0.5)


def test_heads_must_divide_the_hidden_size():
    with pytest.raises(ValueError, match=r"multiple of `num_heads`\. Received: hidden_size=10, num_heads=4"):
        SelfAttention(hidden_size=10, num_heads=4)
