"""Multi-head self-attention among the tokens of one sequence.

Shapes: B batch, L length, D hidden, N heads, H = D / N head size.
"""

from typing import Any

import keras
from keras import ops

from bert_tf.fusion import fused
from bert_tf.layers.base import BertLayer, dense, product
from bert_tf.layers.dropout import Dropout, dropped
from bert_tf.layers.initializers import NeighbourHeads


def attention_allowed(input_mask: Any) -> Any:
    """Whether a query (third axis) may read a key (last axis), bool [B, 1, L, L].

    Args:
        input_mask: int [B, L], 0 on padding, k on the tokens of a row's k-th sequence. A token reads those with its
            own number. An ordinary 0/1 mask is a row with one sequence.
    """
    # One new axis at a time: LiteRT has no slice that makes two.
    rows = ops.expand_dims(input_mask, 1)  # [B, 1, L]
    queries, keys = ops.expand_dims(rows, 3), ops.expand_dims(rows, 2)
    return ops.logical_and(ops.equal(queries, keys), ops.greater(keys, 0))


def attention_probabilities(scores: Any, allowed: Any, training: bool = False) -> Any:
    """Softmax of the scores over the keys that may be read: taken in float32, returned in the scores' dtype.

    Under training its gradient is made from the probabilities as they are returned. They are kept for the product with
    the values anyway: nothing else of size [B, N, L, L] has to wait for the backward pass, in float32 least of all.

    Args:
        scores: float [B, N, L, L].
        allowed: bool, broadcast to the scores' shape.
        training: whether gradients are asked for.
    """
    # A query on padding may read nothing: equal scores leave its (unused) softmax finite.
    masked = ops.where(allowed, ops.cast(scores, "float32"), ops.cast(-1e9, "float32"))
    dtype = scores.dtype

    def softmax_and_gradient(masked: Any) -> tuple[Any, Any]:
        probabilities = ops.cast(ops.softmax(masked, axis=-1), dtype)

        def gradient(upstream: Any) -> Any:
            share, slope = ops.cast(probabilities, "float32"), ops.cast(upstream, "float32")
            return share * (slope - ops.sum(share * slope, axis=-1, keepdims=True))

        return probabilities, gradient

    # Exported models are made of the plain function: they need no gradients.
    return ops.custom_gradient(softmax_and_gradient)(masked) if training else softmax_and_gradient(masked)[0]


def split_heads(qkv: Any, bias: Any, num_heads: int) -> list[Any]:
    """Query, times 1 / sqrt(H), key and value, each [B, N, L, H]; a fused operation (`bert_tf.fusion`).

    Args:
        qkv: float [B, L, 3 D], the fused product.
        bias: float32 [3 D], the product's.
        num_heads: N.
    """
    batch, length, width = ops.shape(qkv)
    head_size = width // 3 // num_heads
    parts = ops.reshape(ops.cast(qkv, "float32") + ops.cast(bias, "float32"), (batch, length, 3, num_heads, head_size))
    query, key, value = ops.unstack(ops.transpose(parts, (2, 0, 3, 1, 4)), num=3)
    return [ops.cast(part, qkv.dtype) for part in (query * head_size**-0.5, key, value)]


def dropped_probabilities(scores: Any, allowed: Any, seed: Any, rate: float, training: bool) -> Any:
    """`attention_probabilities` with dropout; a fused operation (`bert_tf.fusion`)."""
    return dropped(attention_probabilities(scores, allowed, training), seed, rate)


@keras.saving.register_keras_serializable(package="bert_tf")
class SelfAttention(BertLayer):
    """Scaled dot-product attention with one fused query-key-value product (Vaswani et al. 2017, section 3.2).

    The scores are scaled by 1 / sqrt(H); the softmax is taken in float32; dropout falls on the probabilities.

    Args:
        hidden_size: D.
        num_heads: N; divides D.
        dropout_rate: on the probabilities.
        initializer_range: standard deviation of the kernels' truncated normal.
        start: what queries and keys start from, `truncated_normal` or `neighbours` (`initializers.NeighbourHeads`).

    >>> layer = SelfAttention(hidden_size=8, num_heads=2)
    >>> x = keras.ops.ones((3, 5, 8))
    >>> layer(x, attention_allowed(keras.ops.ones((3, 5), "int32"))).shape
    TensorShape([3, 5, 8])
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        dropout_rate: float = 0.0,
        initializer_range: float = 0.02,
        start: str = "truncated_normal",
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # biases are added in float32
        if hidden_size % num_heads:
            raise ValueError(
                "`hidden_size` must be a multiple of `num_heads`. "
                f"Received: hidden_size={hidden_size}, num_heads={num_heads}"
            )
        self.hidden_size = hidden_size
        self.num_heads = num_heads
        self.dropout_rate = dropout_rate
        self.initializer_range = initializer_range
        self.start = start
        self.query_key_value = dense(3 * hidden_size, initializer_range, self.dtype_policy, "query_key_value")
        if start == "neighbours":
            self.query_key_value.kernel_initializer = NeighbourHeads(num_heads, initializer_range)
        self.output_dense = dense(hidden_size, initializer_range, self.dtype_policy, "output_dense")
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy, name="dropout")

    def build(self, input_shape: Any = None, *_: Any) -> None:
        """Make the two products."""
        self.query_key_value.build((None, None, self.hidden_size))
        self.output_dense.build((None, None, self.hidden_size))
        self.built = True

    def call(self, x: Any, allowed: Any, training: bool = False, seed: Any = None) -> Any:
        """Attention's output, before residual and normalisation, [B, L, D].

        Args:
            x: float [B, L, D].
            allowed: bool [B, 1, L, L], from `attention_allowed`.
            training: whether to drop.
            seed: of the dropout mask.
        """
        x, bias = product(self.context(x, allowed, training, seed), self.output_dense, training)
        return x + ops.cast(bias, x.dtype)

    def context(self, x: Any, allowed: Any, training: bool = False, seed: Any = None) -> Any:
        """What `call` gives to the output product, [B, L, D] of all heads side by side; arguments as there."""
        x = ops.cast(x, self.compute_dtype)
        batch, length, _ = ops.shape(x)
        query, key, value = fused(
            split_heads,
            *product(x, self.query_key_value, training),
            num_heads=self.num_heads,
        )
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))  # [B, N, L, L]
        seed, rate = self.dropout.seed_and_rate(training, seed)
        probabilities = fused(dropped_probabilities, scores, allowed, seed, rate=rate, training=training)
        context = ops.transpose(ops.matmul(probabilities, value), (0, 2, 1, 3))  # [B, L, N, H]
        return ops.reshape(context, (batch, length, self.hidden_size))
