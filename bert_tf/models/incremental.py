"""The encoder token by token: the keys and values of the tokens before are kept, so that each is computed once.

They are equal to those of whole rows with an `order`: no token reads those after it. The kept keys and values never
move. When a hypothesis goes on from another one, only `slots` changes, which says whose tokens it reads.

Shapes: B sources, G hypotheses of each, S length of the sources, T length of the targets, D hidden, N heads, H head
size, E size of the embeddings, V vocabulary.
"""

from typing import NamedTuple

import keras
from keras import ops

from bert_tf.features import Batch, Tensor
from bert_tf.fusion import weight_in
from bert_tf.layers.attention import attention_allowed, attention_probabilities
from bert_tf.layers.heads import gather_positions
from bert_tf.models.encoder import BertEncoder

Memory = list[tuple[Tensor, Tensor]]
"""The keys and the values of each block."""


class Sources(NamedTuple):
    """The tensors that the generation of targets reads again for each token.

    Attributes:
        memory: the keys and values of the sources, [B, N, S, H].
        columns: the transposed token embeddings, [E, V], for `MaskedLMHead.logits_by_columns`.
    """

    memory: Memory
    columns: Tensor


def read_sources(model: keras.Model, inputs: Batch) -> tuple[Tensor, Sources]:
    """Return what a model for sequence to sequence knows after the sources.

    Args:
        model: a `BertSeq2Seq`.
        inputs: `input_ids`, `input_mask`, `segment_ids` and `position_ids`, int32 [B, S], of one source in each row.

    Returns:
        The logits of each target's first token, float32 [B, V], and what is read again for the others.
    """
    encoder, mask = model.encoder, inputs["input_mask"]
    allowed = attention_allowed(mask)
    x = encoder.embeddings(inputs["input_ids"], inputs["segment_ids"], inputs["position_ids"])
    memory = []
    for block in encoder.blocks:
        query, key, value = block.attention.heads(x)
        x = block.after_attention(x, _joined(_attended(query, key, value, allowed)))
        memory.append((key, value))
    last = ops.maximum(ops.sum(mask, axis=1, keepdims=True) - 1, 0)  # the source's [SEP]; a row may be empty
    columns = ops.transpose(weight_in(encoder.embeddings.word_embeddings.embeddings, encoder.compute_dtype))
    logits = model.masked_lm.logits_by_columns(gather_positions(x, last), columns)
    return logits[:, 0], Sources(memory, columns)


def empty_targets(encoder: BertEncoder, sources: Tensor, hypotheses: int, length: int) -> Memory:
    """Return keys and values of targets without tokens, zeros, [B * N, T, G * H].

    Args:
        encoder: the encoder.
        sources: B.
        hypotheses: G.
        length: T.
    """
    c = encoder.config
    shape = (sources * c.num_heads, length, hypotheses * (c.hidden_size // c.num_heads))
    return [(ops.zeros(shape, encoder.compute_dtype), ops.zeros(shape, encoder.compute_dtype)) for _ in encoder.blocks]


def longer_targets(targets: Memory, length: int) -> Memory:
    """Return the keys and values of targets with room for `length` tokens."""

    def longer(kept: Tensor) -> Tensor:
        more = length - kept.shape[1]
        return ops.pad(kept, [(0, 0), (0, more), (0, 0)]) if more else kept

    return [(longer(key), longer(value)) for key, value in targets]


def read_token(
    model: keras.Model,
    sources: Sources,
    source_mask: Tensor,
    targets: Memory,
    tokens: Tensor,
    slots: Tensor,
    number: Tensor,
) -> tuple[Tensor, Memory]:
    """Return what a model for sequence to sequence knows after one more token of each target.

    Args:
        model: a `BertSeq2Seq`.
        sources: from `read_sources`.
        source_mask: int32 [B, S], 0 on padding.
        targets: the keys and values of the targets' tokens so far, [B * N, T', G * H], with room for the new ones: T'
            may be below T.
        tokens: int32 [B, G], the new token of each target.
        slots: int32 [B, G, T], the hypothesis at whose place the keys and values of each token are.
        number: int32 [], the index of the new tokens in the targets.

    Returns:
        The logits of the next token, float32 [B, G, V], and the keys and values with those of the new tokens.
    """
    encoder = model.encoder
    positions = ops.broadcast_to(ops.sum(source_mask, axis=1, keepdims=True) + number, ops.shape(tokens))
    x = encoder.embeddings(tokens, ops.ones_like(tokens), ops.cast(positions, tokens.dtype))  # [B, G, D]
    batch, group, _ = ops.shape(x)
    room = targets[0][0].shape[1]
    own = ops.equal(ops.expand_dims(slots[:, :, :room], -1), ops.arange(group, dtype="int32"))  # [B, G, T', G]
    known = ops.less_equal(ops.arange(room, dtype="int32"), number)
    in_target = ops.reshape(ops.logical_and(own, known[:, None]), (batch, 1, group, room * group))
    in_source = ops.broadcast_to((source_mask > 0)[:, None, None], (batch, 1, group, ops.shape(source_mask)[1]))
    allowed = ops.concatenate([in_source, in_target], axis=-1)
    memory = []
    for block, source, target in zip(encoder.blocks, sources.memory, targets, strict=True):
        query, key, value = block.attention.heads(x)  # [B, N, G, H]
        kept = _written(target[0], key, number), _written(target[1], value, number)
        x = block.after_attention(x, _joined(_over_source_and_target(query, source, kept, allowed)))
        memory.append(kept)
    return model.masked_lm.logits_by_columns(x, sources.columns), memory


def _written(kept: Tensor, new: Tensor, number: Tensor) -> Tensor:
    """Return the keys or values of targets, [B * N, T, G * H], with those of the new tokens, [B, N, G, H].

    Only these are written: TensorFlow and XLA change a tensor in place that nothing else reads.
    """
    rows = ops.shape(kept)[0]
    indices = ops.stack([ops.arange(rows, dtype="int32"), ops.full((rows,), number, dtype="int32")], axis=1)
    return ops.scatter_update(kept, indices, ops.reshape(new, (rows, kept.shape[2])))


def _over_source_and_target(
    query: Tensor, source: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor], allowed: Tensor
) -> Tensor:
    """Return the context vectors of one new token of each hypothesis, [B, N, G, H].

    The hypotheses of a source share its keys and values. Of the targets' [B, N, T * G, H], each reads its own.
    """
    batch, heads, _, size = ops.shape(query)
    key, value = (ops.reshape(tensor, (batch, heads, -1, size)) for tensor in target)
    on_source = ops.matmul(query, ops.swapaxes(source[0], 2, 3))
    on_target = ops.matmul(query, ops.swapaxes(key, 2, 3))
    shares = attention_probabilities(ops.concatenate([on_source, on_target], axis=-1), allowed)
    length = ops.shape(source[0])[2]
    return ops.matmul(shares[..., :length], source[1]) + ops.matmul(shares[..., length:], value)


def _attended(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> Tensor:
    return ops.matmul(attention_probabilities(ops.matmul(query, ops.swapaxes(key, 2, 3)), allowed), value)


def _joined(context: Tensor) -> Tensor:
    """Return the context vectors of all heads side by side, [B, L, D], of [B, N, L, H]."""
    batch, heads, length, size = ops.shape(context)
    return ops.reshape(ops.transpose(context, (0, 2, 1, 3)), (batch, length, heads * size))
