"""One vector a row, for the heads that answer once a row.

Shapes: B batch, L length, D hidden.
"""

from typing import Any

from keras import ops

from bert_tf.models.encoder import BertEncoder

POOLINGS = ("cls", "mean")


def check_pooling(pooling: str) -> None:
    """ValueError where `pooling` is none of `POOLINGS`."""
    if pooling not in POOLINGS:
        raise ValueError(f"`pooling` must be {' or '.join(POOLINGS)}. Received: {pooling!r}")


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
    input_mask = inputs.get("input_mask")
    if input_mask is None:
        input_mask = ops.ones_like(inputs["input_ids"])
    weights = ops.cast(ops.equal(input_mask, 1), "float32")[:, :, None]  # [B, L, 1]
    summed = ops.sum(ops.cast(encoded["sequence_output"], "float32") * weights, axis=1)
    mean = summed / ops.maximum(ops.sum(weights, axis=1), 1.0)
    return encoder.pooler(ops.cast(mean, pooled.dtype))
