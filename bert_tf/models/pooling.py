"""One vector a row, for the heads that answer once a row, and as the row's own answer.

Shapes: B batch, L length, D hidden.
"""

from typing import Any

from keras import ops

from bert_tf.models.encoder import BertEncoder

POOLINGS = ("cls", "mean")
"""What a head may read."""

TEXT_POOLINGS = ("mean", "cls", "pooler")
"""What may stand for a text: the mean of its vectors, that of `[CLS]`, or the pooler's output."""


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


def text_vectors(encoded: dict[str, Any], inputs: dict[str, Any], pooling: str, normalize: bool) -> Any:
    """The vector of each row's text, float32 [B, D]; rows hold one sequence each.

    Args:
        encoded: the encoder's outputs.
        inputs: its inputs.
        pooling: `mean` over all pieces, `[CLS]` and `[SEP]` included (Reimers and Gurevych 2019, "Sentence-BERT"),
            `cls`, or `pooler`.
        normalize: whether vectors are brought to length 1.
    """
    if pooling == "mean":
        vectors = _mean_vectors(encoded, inputs)
    else:
        vectors = encoded["pooled_output"] if pooling == "pooler" else encoded["sequence_output"][:, 0]
        vectors = ops.cast(vectors, "float32")
    return ops.normalize(vectors, axis=-1) if normalize else vectors


def _mean_vectors(encoded: dict[str, Any], inputs: dict[str, Any]) -> Any:
    """The mean over each row's first sequence, float32 [B, D]."""
    input_mask = inputs.get("input_mask")
    if input_mask is None:
        input_mask = ops.ones_like(inputs["input_ids"])
    weights = ops.cast(ops.equal(input_mask, 1), "float32")[:, :, None]  # [B, L, 1]
    summed = ops.sum(ops.cast(encoded["sequence_output"], "float32") * weights, axis=1)
    return summed / ops.maximum(ops.sum(weights, axis=1), 1.0)
