"""Pooling: one vector for each row, which a head reads or a model returns.

The operations are those of `keras.ops` or of NumPy, so that LiteRT's outputs are pooled without Keras.

Shapes: B batch, L length, D hidden.
"""

from typing import Any

import numpy as np

from bert_tf.features import Batch, Tensor

POOLINGS = ("cls", "mean")
"""Poolings of the vector that a head reads."""

TEXT_POOLINGS = ("mean", "cls", "pooler")
"""Poolings of the vector of a text: the mean of its vectors, the vector of `[CLS]`, or the pooler's output."""

_ZERO, _ONE = np.float32(0), np.float32(1)
_SMALLEST_LENGTH = np.float32(1e-12)


def check_pooling(pooling: str, allowed: tuple[str, ...] = POOLINGS) -> None:
    """Raise a ValueError if `pooling` is not one of `allowed`."""
    if pooling not in allowed:
        raise ValueError(f"`pooling` must be {' or '.join(allowed)}. Received: {pooling!r}")


def text_vectors(
    encoded: Batch,
    inputs: Batch,
    pooling: str,
    *,
    normalize: bool,
    numpy: Any,
    sequence: int = 1,
) -> Tensor:
    """Return the vector of one text of each row, float32 [B, D].

    Args:
        encoded: the encoder's outputs.
        inputs: the encoder's inputs, with `input_mask` and `position_ids` if `sequence` is greater than 1.
        pooling: `mean` over all tokens, `[CLS]` and `[SEP]` included (Reimers and Gurevych 2019, "Sentence-BERT"),
            `cls`, or `pooler`.
        normalize: whether vectors are scaled to length 1.
        numpy: the module whose operations are used, `keras.ops` for tensors or NumPy for arrays.
        sequence: number of the text in its row, counted from 1. Rows with fewer texts return zeros.
    """
    if pooling == "mean":
        vectors = mean_vectors(encoded, inputs, numpy, sequence)
    elif sequence > 1:
        is_first = numpy.logical_and(
            numpy.equal(inputs["input_mask"], sequence), numpy.equal(inputs["position_ids"], 0)
        )
        vectors = _weighted_sum(encoded, numpy.where(is_first, _ONE, _ZERO), numpy)
    else:
        vectors = encoded["pooled_output"] if pooling == "pooler" else encoded["sequence_output"][:, 0]
        vectors = numpy.multiply(vectors, _ONE)
    return unit_vectors(vectors, numpy) if normalize else vectors


def unit_vectors(vectors: Tensor, numpy: Any) -> Tensor:
    """Return the vectors, [..., D], scaled to length 1."""
    length = numpy.sqrt(numpy.sum(numpy.square(vectors), axis=-1, keepdims=True))
    return vectors / numpy.maximum(length, _SMALLEST_LENGTH)


def mean_vectors(encoded: Batch, inputs: Batch, numpy: Any, sequence: int = 1) -> Tensor:
    """Return the mean over one sequence of each row, float32 [B, D]; arguments as in `text_vectors`."""
    input_mask = inputs.get("input_mask")
    if input_mask is None:
        input_mask = numpy.ones_like(inputs["input_ids"])
    weights = numpy.where(numpy.equal(input_mask, sequence), _ONE, _ZERO)  # [B, L]
    summed = _weighted_sum(encoded, weights, numpy)
    return summed / numpy.maximum(numpy.sum(weights, axis=1, keepdims=True), _ONE)


def _weighted_sum(encoded: Batch, weights: Tensor, numpy: Any) -> Tensor:
    """Return the sum of each row's vectors by weights [B, L], float32 [B, D]."""
    return numpy.sum(numpy.multiply(encoded["sequence_output"], numpy.expand_dims(weights, -1)), axis=1)
