"""One vector a row, for the heads that answer once a row, and as the row's own answer.

Shapes: B batch, L length, D hidden.
"""

from typing import Any

import numpy as np
from keras import ops

from bert_tf.models.encoder import BertEncoder

POOLINGS = ("cls", "mean")
"""What a head may read."""

TEXT_POOLINGS = ("mean", "cls", "pooler")
"""What may stand for a text: the mean of its vectors, that of `[CLS]`, or the pooler's output."""

_ZERO, _ONE = np.float32(0), np.float32(1)
_SMALLEST_LENGTH = np.float32(1e-12)


def check_pooling(pooling: str, allowed: tuple[str, ...] = POOLINGS) -> None:
    """ValueError where `pooling` is none of `allowed`."""
    if pooling not in allowed:
        raise ValueError(f"`pooling` must be {' or '.join(allowed)}. Received: {pooling!r}")


def pooled_vectors(encoder: BertEncoder, encoded: dict[str, Any], inputs: dict[str, Any], pooling: str) -> Any:
    """[B, D], in the compute dtype.

    Args:
        encoder: whose pooler is used.
        encoded: its outputs.
        inputs: its inputs.
        pooling: `cls`, the pooled output of `[CLS]`; or `mean`, the pooler over the mean of the vectors of the
            row's first sequence, to which `[CLS]` belongs.
    """
    pooled = encoded["pooled_output"]
    if pooling == "cls":
        return pooled
    return encoder.pooler(ops.cast(_mean_vectors(encoded, inputs), pooled.dtype))


def text_vectors(
    encoded: dict[str, Any],
    inputs: dict[str, Any],
    pooling: str,
    normalize: bool,
    numpy: Any = ops,
    sequence: int = 1,
) -> Any:
    """The vector of one text of each row, float32 [B, D].

    Args:
        encoded: the encoder's outputs.
        inputs: its inputs; for a `sequence` behind the first `input_mask` and `position_ids` are among them.
        pooling: `mean` over all tokens, `[CLS]` and `[SEP]` included (Reimers and Gurevych 2019, "Sentence-BERT"),
            `cls`, or `pooler`.
        normalize: whether vectors are brought to length 1.
        numpy: whose operations are used: `keras.ops`, or for arrays NumPy itself.
        sequence: which of the row's sequences the text is, counted from 1. Where a row has fewer: zeros.
    """
    if pooling == "mean":
        vectors = _mean_vectors(encoded, inputs, numpy, sequence)
    elif sequence > 1:
        is_first = numpy.logical_and(
            numpy.equal(inputs["input_mask"], sequence), numpy.equal(inputs["position_ids"], 0)
        )
        vectors = _weighted_sum(encoded, numpy.where(is_first, _ONE, _ZERO), numpy)
    else:
        vectors = encoded["pooled_output"] if pooling == "pooler" else encoded["sequence_output"][:, 0]
        vectors = numpy.multiply(vectors, _ONE)
    if not normalize:
        return vectors
    length = numpy.sqrt(numpy.sum(numpy.square(vectors), axis=-1, keepdims=True))
    return vectors / numpy.maximum(length, _SMALLEST_LENGTH)


def _mean_vectors(encoded: dict[str, Any], inputs: dict[str, Any], numpy: Any = ops, sequence: int = 1) -> Any:
    """The mean over one sequence of each row, float32 [B, D]."""
    input_mask = inputs.get("input_mask")
    if input_mask is None:
        input_mask = numpy.ones_like(inputs["input_ids"])
    weights = numpy.where(numpy.equal(input_mask, sequence), _ONE, _ZERO)  # [B, L]
    summed = _weighted_sum(encoded, weights, numpy)
    return summed / numpy.maximum(numpy.sum(weights, axis=1, keepdims=True), _ONE)


def _weighted_sum(encoded: dict[str, Any], weights: Any, numpy: Any) -> Any:
    """Of each row's vectors, float32 [B, D], by weights [B, L]."""
    return numpy.sum(numpy.multiply(encoded["sequence_output"], weights[:, :, None]), axis=1)
