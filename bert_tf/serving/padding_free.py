"""The encoder without padding, for serving: the cost of a request depends on its tokens, not on its longest text.

All operations but attention work on single tokens. The tokens of all rows are therefore packed into one matrix [T, D],
and only attention puts them back into rows (Zeng et al. 2022, "Boosting Distributed Training Performance of the
Unpadded BERT Model"; ByteDance's "Effective Transformer"). The bias and the activation follow each product directly,
so that TensorFlow fuses the three into one operation.

Shapes: B rows, L length, T tokens of all rows, D hidden, N heads, H head size.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from bert_tf.features import ORDER
from bert_tf.layers.attention import SelfAttention, attention_allowed, attention_probabilities
from bert_tf.layers.base import activation, normalized
from bert_tf.layers.transformer_block import TransformerBlock
from bert_tf.models.encoder import BertEncoder

_STEPS = 16
"""Number of sizes T between a power of two and the next. They must be few, since oneDNN compiles each size anew."""

_SMALLEST = 8


class _Packing(NamedTuple):
    """The packing of the tokens of all rows into one matrix.

    Positions count through the rows, from 0 to B * L - 1.

    Attributes:
        allowed: bool [B, 1, L, L], from `attention_allowed`.
        positions: int32 [T], the position of each token; then position 0, repeated until the size is T. None keeps
            padding as well, so that T = B * L.
        tokens: int32 [B * L], the index of the token at each position; any index at padding.
    """

    allowed: tf.Tensor
    positions: tf.Tensor | None = None
    tokens: tf.Tensor | None = None

    def pack(self, flat: tf.Tensor) -> tf.Tensor:
        """Return the values [T, ...] of the tokens, from those of all positions, [B * L, ...]."""
        return flat if self.positions is None else tf.gather(flat, self.positions)

    def unpack(self, packed: tf.Tensor) -> tf.Tensor:
        """Return the values [B * L, ...] of all positions, from those of the tokens, [T, ...]."""
        return packed if self.tokens is None else tf.gather(packed, self.tokens)


def without_padding(model: keras.Model) -> Callable[[dict[str, Any]], Any]:
    """Return a function that computes `model(inputs, training=False)` without padding, by TensorFlow operations.

    At positions where `input_mask` is 0, `sequence_output` is that of some other token. The outputs of heads at these
    positions are meaningless, as they are with padding.

    Args:
        model: a `BertEncoder`, or a model with an `encoder` and heads. Its weights are read, not copied.

    Returns:
        A function of the model's inputs, among them `input_mask`, `segment_ids` and `position_ids`.
    """
    return _with_heads(model, lambda inputs: _encode(_encoder(model), inputs, _packing(inputs)))


def in_one_matrix(model: keras.Model) -> Callable[[dict[str, Any]], Any]:
    """Return a function that computes the model in one matrix too, but with padding, for rows of a known shape.

    Every shape in its graph is known.

    Args:
        model: a `BertEncoder`, or a model with an `encoder` and heads. Its weights are read, not copied.

    Returns:
        A function of the model's inputs. If `position_ids` are left out, they count from 0 in each row.
    """

    def encode(inputs: dict[str, Any]) -> dict[str, tf.Tensor]:
        shape = inputs["input_ids"].shape
        positions = tf.broadcast_to(tf.range(shape[1]), shape)
        return _encode(_encoder(model), {"position_ids": positions} | inputs, _Packing(_allowed(inputs)))

    return _with_heads(model, encode)


def _encoder(model: keras.Model) -> BertEncoder:
    return model if isinstance(model, BertEncoder) else model.encoder


def _with_heads(model: keras.Model, encode: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    if isinstance(model, BertEncoder):
        return encode
    return lambda inputs: model.outputs_of(encode(inputs), inputs)


def _encode(encoder: BertEncoder, inputs: dict[str, Any], packing: _Packing) -> dict[str, tf.Tensor]:
    """Return the outputs of `BertEncoder.call`."""
    names = ("input_ids", "segment_ids", "position_ids")
    tokens = [packing.pack(tf.reshape(inputs[name], [-1])) for name in names]
    x = encoder.embeddings(*(tensor[None] for tensor in tokens))[0]  # [T, D]
    for block in encoder.blocks:
        x = _transform(block, x, packing)
    rows, length = _sizes(inputs["input_ids"])
    sequence_output = tf.reshape(packing.unpack(x), [rows, length, encoder.config.hidden_size])
    return {"sequence_output": sequence_output, "pooled_output": encoder.pooler(sequence_output[:, 0])}


def _allowed(inputs: dict[str, Any]) -> tf.Tensor:
    order = inputs.get(ORDER)
    input_mask = tf.convert_to_tensor(inputs["input_mask"])
    return attention_allowed(input_mask, None if order is None else tf.convert_to_tensor(order))


def _packing(inputs: dict[str, Any]) -> _Packing:
    input_mask = tf.convert_to_tensor(inputs["input_mask"])
    is_token = tf.reshape(input_mask, [-1]) > 0
    found = tf.cast(tf.where(is_token)[:, 0], tf.int32)
    # Without rows, there is no position to repeat.
    missing = tf.where(tf.size(is_token) > 0, _size(tf.size(found)) - tf.size(found), 0)
    positions = tf.pad(found, [[0, missing]])
    tokens = tf.maximum(tf.cumsum(tf.cast(is_token, tf.int32)) - 1, 0)
    return _Packing(_allowed(inputs), positions, tokens)


def _size(count: tf.Tensor) -> tf.Tensor:
    """Return the smallest size T that holds `count` tokens, int32."""
    steps = [_SMALLEST * 2**power for power in range(20)]
    step = tf.gather(steps, tf.searchsorted([_STEPS * step * 2 for step in steps], count[None], side="right"))[0]
    return tf.maximum((count + step - 1) // step, 1) * step


def _sizes(tensor: Any) -> list[Any]:
    """Return the lengths of the axes, as numbers where they are known and as tensors elsewhere."""
    known, sizes = tensor.shape, tf.unstack(tf.shape(tensor))
    return [size if fixed is None else fixed for fixed, size in zip(known, sizes, strict=True)]


def _transform(block: TransformerBlock, x: tf.Tensor, packing: _Packing) -> tf.Tensor:
    """Return the block's output, [T, D]."""
    attention = block.attention
    context = _context(attention, _affine(x, attention.query_key_value), packing)
    x = _add(x, _affine(context, attention.output_dense), block.attention_layer_norm)
    expanded = activation(block.hidden_act)(_affine(x, block.intermediate_dense))
    return _add(x, _affine(expanded, block.output_dense), block.output_layer_norm)


def _affine(x: tf.Tensor, dense: keras.layers.Dense) -> tf.Tensor:
    kernel, bias = (tf.cast(variable.value, x.dtype) for variable in (dense.kernel, dense.bias))
    return tf.nn.bias_add(tf.matmul(x, kernel), bias)


def _add(x: tf.Tensor, branch: tf.Tensor, norm: keras.layers.LayerNormalization) -> tf.Tensor:
    summed = tf.cast(x, tf.float32) + tf.cast(branch, tf.float32)
    return tf.cast(normalized(summed, norm.gamma.value, norm.beta.value, norm.epsilon), x.dtype)


def _context(attention: SelfAttention, qkv: tf.Tensor, packing: _Packing) -> tf.Tensor:
    """Return the context vectors of all heads, [T, D], from the fused product, [T, 3 D]."""
    rows, _, length, _ = _sizes(packing.allowed)
    heads, size = attention.num_heads, attention.hidden_size // attention.num_heads
    parts = tf.reshape(packing.unpack(qkv), [rows, length, 3, heads, size])
    query, key, value = tf.unstack(tf.transpose(parts, [2, 0, 3, 1, 4]), num=3)  # [B, N, L, H]
    scores = tf.matmul(query * size**-0.5, key, transpose_b=True)  # [B, N, L, L]
    context = tf.matmul(attention_probabilities(scores, packing.allowed), value)
    flat = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [-1, attention.hidden_size])
    return packing.pack(flat)
