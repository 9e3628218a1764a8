"""The encoder token by token: the keys and values of the tokens before are kept, so that each is computed once.

They are equal to those of whole rows with an `order`: no token reads those after it.

Shapes: B sources, G hypotheses of each, S length of the sources, T length of the targets, D hidden, N heads, H head
size, V vocabulary.
"""

from typing import Any

import keras
from keras import ops

from bert_tf.features import Batch, Tensor
from bert_tf.layers.attention import attention_allowed, attention_probabilities
from bert_tf.models.encoder import BertEncoder

Memory = list[tuple[Tensor, Tensor]]
"""The keys and the values of each block."""


def read_sources(model: keras.Model, inputs: Batch) -> tuple[Tensor, Memory]:
    """Return what a model for sequence to sequence knows after the sources.

    Args:
        model: a `BertSeq2Seq`.
        inputs: `input_ids`, `input_mask`, `segment_ids` and `position_ids`, int32 [B, S], of one source in each row.

    Returns:
        The logarithms of the probabilities of each target's first token, float32 [B, V], and the keys and values of the
        sources, [B, N, S, H].
    """
    encoder, mask = model.encoder, inputs["input_mask"]
    allowed = attention_allowed(mask)
    x = encoder.embeddings(inputs["input_ids"], inputs["segment_ids"], inputs["position_ids"])
    memory = []
    for block in encoder.blocks:
        query, key, value = block.attention.heads(x)
        x = block.after_attention(x, _joined(_attended(query, key, value, allowed)))
        memory.append((key, value))
    last = ops.sum(mask, axis=1, keepdims=True) - 1  # the source's [SEP]
    return _log_probabilities(model, x, last)[:, 0], memory


def empty_targets(encoder: BertEncoder, hypotheses: int, length: int) -> Memory:
    """Return keys and values of targets without tokens, [B * G, N, T, H], zeros.

    Args:
        encoder: the encoder.
        hypotheses: B * G.
        length: T.
    """
    c = encoder.config
    shape = (hypotheses, c.num_heads, length, c.hidden_size // c.num_heads)
    return [(ops.zeros(shape, encoder.compute_dtype), ops.zeros(shape, encoder.compute_dtype)) for _ in encoder.blocks]


def read_token(
    model: keras.Model, sources: Memory, source_mask: Tensor, targets: Memory, step: dict[str, Any]
) -> tuple[Tensor, Memory]:
    """Return what a model for sequence to sequence knows after one more token of each target.

    Args:
        model: a `BertSeq2Seq`.
        sources: the keys and values of the sources, [B, N, S, H].
        source_mask: int32 [B, S], 0 on padding.
        targets: the keys and values of the targets' tokens so far, [B * G, N, T, H].
        step: `parents` int32 [B * G], the hypothesis that each one goes on from; `tokens` int32 [B * G], its new token;
            and `number` int32 [], the index of this token in the target.

    Returns:
        The logarithms of the probabilities of the next token, float32 [B * G, V], and the new keys and values.
    """
    encoder, number, rows = model.encoder, step["number"], ops.shape(step["tokens"])[0]
    sizes = ops.sum(source_mask, axis=1)
    positions = ops.expand_dims(ops.repeat(sizes, rows // ops.shape(source_mask)[0], axis=0) + number, -1)
    ids = ops.expand_dims(step["tokens"], -1)  # [B * G, 1]
    x = encoder.embeddings(ids, ops.ones_like(ids), ops.cast(positions, ids.dtype))
    places = ops.arange(targets[0][0].shape[2], dtype="int32")
    is_new = ops.reshape(ops.equal(places, number), (1, 1, -1, 1))
    known = ops.less_equal(places, number)
    memory = []
    for block, source, target in zip(encoder.blocks, sources, targets, strict=True):
        query, *new = block.attention.heads(x)
        kept = [ops.take(old, step["parents"], axis=0) for old in target]
        key, value = (ops.where(is_new, one, old) for one, old in zip(new, kept, strict=True))
        context = _over_source_and_target(query, source, (key, value), source_mask, known)
        x = block.after_attention(x, _joined(context))
        memory.append((key, value))
    return _log_probabilities(model, x, ops.zeros_like(ids))[:, 0], memory


def _over_source_and_target(
    query: Tensor,
    source: tuple[Tensor, Tensor],
    target: tuple[Tensor, Tensor],
    source_mask: Tensor,
    known: Tensor,
) -> Tensor:
    """Return the context vectors of one new token of each hypothesis, [B * G, N, 1, H].

    The hypotheses of a source share its keys and values.
    """
    rows, heads, *_ = ops.shape(query)
    sources = ops.shape(source_mask)[0]
    group = rows // sources

    def by_source(x: Tensor) -> Tensor:  # [B * G, N, 1, X] -> [B, N, G, X]
        return ops.transpose(ops.reshape(x, (sources, group, heads, -1)), (0, 2, 1, 3))

    def by_hypothesis(x: Tensor) -> Tensor:  # and back
        return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (rows, heads, 1, -1))

    on_source = by_hypothesis(ops.matmul(by_source(query), ops.swapaxes(source[0], 2, 3)))
    on_target = ops.matmul(query, ops.swapaxes(target[0], 2, 3))
    in_source = ops.reshape(ops.repeat(source_mask > 0, group, axis=0), (rows, 1, 1, -1))
    in_target = ops.broadcast_to(ops.reshape(known, (1, 1, 1, -1)), (rows, 1, 1, known.shape[0]))
    allowed = ops.concatenate([in_source, in_target], axis=-1)
    shares = attention_probabilities(ops.concatenate([on_source, on_target], axis=-1), allowed)
    length = source_mask.shape[1]
    read = by_hypothesis(ops.matmul(by_source(shares[..., :length]), source[1]))
    return read + ops.matmul(shares[..., length:], target[1])


def _attended(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> Tensor:
    return ops.matmul(attention_probabilities(ops.matmul(query, ops.swapaxes(key, 2, 3)), allowed), value)


def _joined(context: Tensor) -> Tensor:
    """Return the context vectors of all heads side by side, [B, L, D], of [B, N, L, H]."""
    batch, heads, length, size = ops.shape(context)
    return ops.reshape(ops.transpose(context, (0, 2, 1, 3)), (batch, length, heads * size))


def _log_probabilities(model: keras.Model, x: Tensor, positions: Tensor) -> Tensor:
    """Return the logarithms of the probabilities at the positions [B, P] of x, float32 [B, P, V]."""
    logits = model.outputs_of({"sequence_output": x}, {"next_token_positions": positions})
    return ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
