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
    encoded: dict[str, Any], inputs: dict[str, Any], pooling: str, normalize: bool, numpy: Any = ops
) -> Any:
    """The vector of each row's text, float32 [B, D]; rows hold one sequence each.

    Args:
        encoded: the encoder's outputs.
        inputs: its inputs.
        pooling: `mean` over all pieces, `[CLS]` and `[SEP]` included (Reimers and Gurevych 2019, "Sentence-BERT"),
            `cls`, or `pooler`.
        normalize: whether vectors are brought to length 1.
        numpy: whose operations are used: `keras.ops`, or for arrays NumPy itself.
    """
    if pooling == "mean":
        vectors = _mean_vectors(encoded, inputs, numpy)
    else:
        vectors = encoded["pooled_output"] if pooling == "pooler" else encoded["sequence_output"][:, 0]
        vectors = numpy.multiply(vectors, _ONE)
    if not normalize:
        return vectors
    length = numpy.sqrt(numpy.sum(numpy.square(vectors), axis=-1, keepdims=True))
    return vectors / numpy.maximum(length, _SMALLEST_LENGTH)


def _mean_vectors(encoded: dict[str, Any], inputs: dict[str, Any], numpy: Any = ops) -> Any:
    """The mean over each row's first sequence, float32 [B, D]."""
    input_mask = inputs.get("input_mask")
    if input_mask is None:
        input_mask = numpy.ones_like(inputs["input_ids"])
    weights = numpy.where(numpy.equal(input_mask, 1), _ONE, _ZERO)[:, :, None]  # [B, L, 1]
    summed = numpy.sum(numpy.multiply(encoded["sequence_output"], weights), axis=1)
    return summed / numpy.maximum(numpy.sum(weights, axis=1), _ONE)
