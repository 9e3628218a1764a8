"""The vector of a text, computed from tensors and from arrays."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from bert_tf.models.pooling import TEXT_POOLINGS, text_vectors

MASK = np.array([[1, 1, 1, 0], [1, 1, 2, 2]], np.int32)
SEQUENCE = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
POOLED = SEQUENCE[:, 1] * 2
BY_HAND = {
    "mean": np.stack([SEQUENCE[0, :3].mean(axis=0), SEQUENCE[1, :2].mean(axis=0)]),
    "cls": SEQUENCE[:, 0],
    "pooler": POOLED,
}


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("pooling", TEXT_POOLINGS)
def test_text_vectors_equal_those_by_hand(pooling, normalize):
    expected = BY_HAND[pooling]
    if normalize:
        expected = expected / np.linalg.norm(expected, axis=-1, keepdims=True)
    for operations, dtype, tolerance in (
        (np, np.float32, 1e-6),
        (keras.ops, "float32", 1e-6),
        (keras.ops, "bfloat16", 0.03),
    ):
        arrays = {"sequence_output": SEQUENCE, "pooled_output": POOLED}
        if operations is keras.ops:
            arrays = {name: tf.cast(array, dtype) for name, array in arrays.items()}
        found = text_vectors(arrays, {"input_mask": MASK}, pooling, normalize=normalize, numpy=operations)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=tolerance)
