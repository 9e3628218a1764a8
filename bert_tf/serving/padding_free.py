"""The encoder without padding, for serving: a request pays for the tokens of its texts, not for its longest text.

All but attention works on one token at a time. So the tokens of all rows stand in one matrix [T, D], one below the
other, and only attention puts them back into rows (Zeng et al. 2022, "Boosting Distributed Training Performance of the
Unpadded BERT Model"; ByteDance's "Effective Transformer"). Products have their bias and activation next to them: of the
three TensorFlow makes one operation.

Shapes: B rows, L length, T tokens of all rows, D hidden, N heads, H head size.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from bert_tf.layers.attention import SelfAttention, attention_allowed, attention_probabilities
from bert_tf.layers.base import activation, normalized
from bert_tf.layers.transformer_block import TransformerBlock
from bert_tf.models.encoder import BertEncoder

_STEPS = 16
"""Kinds of sizes T between a power of two and the next: oneDNN makes a program of its own for each size."""

_SMALLEST = 8


class _Places(NamedTuple):
    """Where the tokens of rows stand in the matrix of all tokens, and the other way round.

    Attributes:
        allowed: bool [B, 1, L, L], of `attention_allowed`.
        of_tokens: int32 [T], each token's place in the rows, row after row; then the first place again and again, to
            fill T up. None: every place is taken for a token, T = B * L.
        of_rows: int32 [B * L], each place's token; padding reads any.
    """

    allowed: tf.Tensor
    of_tokens: tf.Tensor | None = None
    of_rows: tf.Tensor | None = None

    def tokens(self, flat: tf.Tensor) -> tf.Tensor:
        """[T, ...] of the rows' places, [B * L, ...]."""
        return flat if self.of_tokens is None else tf.gather(flat, self.of_tokens)

    def places(self, tokens: tf.Tensor) -> tf.Tensor:
        """[B * L, ...] of the tokens, [T, ...]."""
        return tokens if self.of_rows is None else tf.gather(tokens, self.of_rows)


def without_padding(model: keras.Model) -> Callable[[dict[str, Any]], Any]:
    """What `model(inputs, training=False)` gives, computed without padding, by TensorFlow operations.

    Where `input_mask` is 0, `sequence_output` is that of some other token, and what heads make of it means nothing,
    as it does with padding.

    Args:
        model: a `BertEncoder`, or a model with an `encoder` and heads, whose weights are read in place.

    Returns:
        A function of the model's inputs, among them `input_mask`, `segment_ids` and `position_ids`.
    """
    return _with_heads(model, lambda inputs: _encode(_encoder(model), inputs, _places(inputs["input_mask"])))


def in_one_matrix(model: keras.Model) -> Callable[[dict[str, Any]], Any]:
    """The same with padding, for rows whose shape is known: every shape in its graph is.

    Args:
        model: as of `without_padding`.

    Returns:
        A function of the model's inputs; `position_ids` count from 0 in each row, if left out.
    """

    def encode(inputs: dict[str, Any]) -> dict[str, tf.Tensor]:
        shape = inputs["input_ids"].shape
        positions = tf.broadcast_to(tf.range(shape[1]), shape)
        return _encode(_encoder(model), {"position_ids": positions} | inputs, _Places(_allowed(inputs["input_mask"])))

    return _with_heads(model, encode)


def _encoder(model: keras.Model) -> BertEncoder:
    return model if isinstance(model, BertEncoder) else model.encoder


def _with_heads(model: keras.Model, encode: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    if isinstance(model, BertEncoder):
        return encode
    return lambda inputs: model.outputs_of(encode(inputs), inputs)


def _encode(encoder: BertEncoder, inputs: dict[str, Any], places: _Places) -> dict[str, tf.Tensor]:
    """The outputs of `BertEncoder.call`."""
    names = ("input_ids", "segment_ids", "position_ids")
    tokens = [places.tokens(tf.reshape(inputs[name], [-1])) for name in names]
    x = encoder.embeddings(*(tensor[None] for tensor in tokens))[0]  # [T, D]
    for block in encoder.blocks:
        x = _transform(block, x, places)
    rows, length = _sizes(inputs["input_ids"])
    sequence_output = tf.reshape(places.places(x), [rows, length, encoder.config.hidden_size])
    return {"sequence_output": sequence_output, "pooled_output": encoder.pooler(sequence_output[:, 0])}


def _allowed(input_mask: Any) -> tf.Tensor:
    return attention_allowed(tf.convert_to_tensor(input_mask))


def _places(input_mask: Any) -> _Places:
    input_mask = tf.convert_to_tensor(input_mask)
    is_token = tf.reshape(input_mask, [-1]) > 0
    found = tf.cast(tf.where(is_token)[:, 0], tf.int32)
    # Of no rows there is nothing to fill up with.
    missing = tf.where(tf.size(is_token) > 0, _size(tf.size(found)) - tf.size(found), 0)
    of_tokens = tf.pad(found, [[0, missing]])
    of_rows = tf.maximum(tf.cumsum(tf.cast(is_token, tf.int32)) - 1, 0)
    return _Places(_allowed(input_mask), of_tokens, of_rows)


def _size(count: tf.Tensor) -> tf.Tensor:
    """The next size T that holds so many tokens, int32."""
    steps = [_SMALLEST * 2**power for power in range(20)]
    step = tf.gather(steps, tf.searchsorted([_STEPS * step * 2 for step in steps], count[None], side="right"))[0]
    return tf.maximum((count + step - 1) // step, 1) * step


def _sizes(tensor: Any) -> list[Any]:
    """The axes' lengths, numbers where they are known."""
    known, sizes = tensor.shape, tf.unstack(tf.shape(tensor))
    return [size if fixed is None else fixed for fixed, size in zip(known, sizes, strict=True)]


def _transform(block: TransformerBlock, x: tf.Tensor, places: _Places) -> tf.Tensor:
    """The block's output, [T, D]."""
    attention = block.attention
    context = _context(attention, _affine(x, attention.query_key_value), places)
    x = _add(x, _affine(context, attention.output_dense), block.attention_layer_norm)
    expanded = activation(block.hidden_act)(_affine(x, block.intermediate_dense))
    return _add(x, _affine(expanded, block.output_dense), block.output_layer_norm)


def _affine(x: tf.Tensor, dense: keras.layers.Dense) -> tf.Tensor:
    kernel, bias = (tf.cast(variable.value, x.dtype) for variable in (dense.kernel, dense.bias))
    return tf.nn.bias_add(tf.matmul(x, kernel), bias)


def _add(x: tf.Tensor, branch: tf.Tensor, norm: keras.layers.LayerNormalization) -> tf.Tensor:
    summed = tf.cast(x, tf.float32) + tf.cast(branch, tf.float32)
    return tf.cast(normalized(summed, norm.gamma.value, norm.beta.value, norm.epsilon), x.dtype)


def _context(attention: SelfAttention, qkv: tf.Tensor, places: _Places) -> tf.Tensor:
    """What all heads give, [T, D], from the fused product [T, 3 D]."""
    rows, _, length, _ = _sizes(places.allowed)
    heads, size = attention.num_heads, attention.hidden_size // attention.num_heads
    parts = tf.reshape(places.places(qkv), [rows, length, 3, heads, size])
    query, key, value = tf.unstack(tf.transpose(parts, [2, 0, 3, 1, 4]), num=3)  # [B, N, L, H]
    scores = tf.matmul(query * size**-0.5, key, transpose_b=True)  # [B, N, L, L]
    context = tf.matmul(attention_probabilities(scores, places.allowed), value)
    by_place = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [-1, attention.hidden_size])
    return places.tokens(by_place)
