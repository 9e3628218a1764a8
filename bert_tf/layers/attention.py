"""Multi-head self-attention among the tokens of a sequence.

Shapes: B batch, L length, D hidden, N heads, H = D / N head size.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from bert_tf.configs.base import check_choice
from bert_tf.configs.model import ATTENTIONS
from bert_tf.features import Tensor
from bert_tf.fusion import fused
from bert_tf.layers.base import BertLayer, dense, product
from bert_tf.layers.dropout import Dropout, dropped
from bert_tf.layers.fused_attention import check_backend, fused_attention
from bert_tf.layers.initializers import NeighbourHeads


def attention_allowed(input_mask: Tensor, order: Tensor | None = None) -> Tensor:
    """Return whether each query (third axis) may read each key (last axis), bool [B, 1, L, L].

    Args:
        input_mask: int [B, L], 0 on padding, k on the tokens of a row's k-th sequence. A token reads the tokens of its
            own sequence. An ordinary 0/1 mask is a row with one sequence.
        order: int [B, L]. A token reads no token of a larger `order` than its own. None for no such rule.
    """
    queries, keys = _queries_and_keys(input_mask)
    allowed = ops.logical_and(ops.equal(queries, keys), ops.greater(keys, 0))
    if order is None:
        return allowed
    return ops.logical_and(allowed, ops.greater_equal(*_queries_and_keys(order)))


def _queries_and_keys(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values [B, L] of tokens as those of queries, [B, 1, L, 1], and of keys, [B, 1, 1, L]."""
    # LiteRT has no slice that adds two axes at once.
    rows = ops.expand_dims(tokens, 1)  # [B, 1, L]
    return ops.expand_dims(rows, 3), ops.expand_dims(rows, 2)


def attention_probabilities(scores: Tensor, allowed: Tensor, training: bool = False) -> Tensor:
    """Return the softmax of the scores over the allowed keys, computed in float32, in the scores' dtype.

    Under training, the gradient is computed from the returned probabilities, which the product with the values keeps
    anyway. The backward pass then needs no other tensor of size [B, N, L, L].

    Args:
        scores: float [B, N, L, L].
        allowed: bool, broadcast to the scores' shape.
        training: whether the custom gradient is attached.
    """
    # A query on padding may read no key. Equal scores keep its (unused) softmax finite.
    masked = ops.where(allowed, ops.cast(scores, "float32"), ops.cast(-1e9, "float32"))
    dtype = scores.dtype

    def softmax_and_gradient(masked: Tensor) -> tuple[Tensor, Tensor]:
        probabilities = ops.cast(ops.softmax(masked, axis=-1), dtype)

        def gradient(upstream: Tensor) -> Tensor:
            share, slope = ops.cast(probabilities, "float32"), ops.cast(upstream, "float32")
            return share * (slope - ops.sum(share * slope, axis=-1, keepdims=True))

        return probabilities, gradient

    # Exported models need no gradients, and keep the plain operations.
    return ops.custom_gradient(softmax_and_gradient)(masked) if training else softmax_and_gradient(masked)[0]


def split_heads(qkv: Tensor, bias: Tensor, num_heads: int, training: bool) -> list[Tensor]:
    """Return query (times 1 / sqrt(H)), key and value, each [B, N, L, H]; a fused operation (`bert_tf.fusion`).

    Args:
        qkv: float [B, L, 3 D], the product of all three without its bias.
        bias: float32 [3 D], a constant under training (`with_bias`).
        num_heads: N.
        training: whether the custom gradient is attached.
    """
    batch, length, width = ops.shape(qkv)
    head_size = width // 3 // num_heads
    scale = head_size**-0.5

    # The bias is an argument too: JAX's recomputation refuses a tensor from outside the function.
    def heads_and_gradient(qkv: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
            query, key, value = ops.unstack(ops.cast(upstream, "float32"), num=3)
            parts = ops.transpose(ops.stack([query * scale, key, value]), (1, 3, 0, 2, 4))
            of_qkv = ops.cast(ops.reshape(parts, (batch, length, width)), upstream.dtype)
            return of_qkv, ops.zeros_like(bias)

        # The cast comes before the transposition, so that XLA keeps no float32 tensor for the backward pass. The
        # gradient is scaled after the transposition: XLA on a CPU would add up the bias's gradient in other ways.
        scales = ops.convert_to_tensor(np.repeat([scale, 1.0, 1.0], width // 3), dtype="float32")
        scaled = ops.cast((ops.cast(qkv, "float32") + ops.cast(bias, "float32")) * scales, qkv.dtype)
        parts = ops.reshape(scaled, (batch, length, 3, num_heads, head_size))
        return ops.transpose(parts, (2, 0, 3, 1, 4)), gradient

    heads = ops.custom_gradient(heads_and_gradient)(qkv, bias) if training else heads_and_gradient(qkv, bias)[0]
    return ops.unstack(heads, num=3)


def dropped_probabilities(scores: Tensor, allowed: Tensor, seed: Tensor, rate: float, training: bool) -> Tensor:
    """Return `attention_probabilities` after dropout; a fused operation (`bert_tf.fusion`)."""
    return dropped(attention_probabilities(scores, allowed, training), seed, rate)


@keras.saving.register_keras_serializable(package="bert_tf")
class SelfAttention(BertLayer):
    """Scaled dot-product attention with one fused query-key-value product (Vaswani et al. 2017, section 3.2).

    The softmax is computed in float32; dropout is applied to the probabilities.

    Args:
        hidden_size: D.
        num_heads: N; divides D.
        dropout_rate: dropout of the probabilities.
        initializer_range: standard deviation of the kernels' truncated normal.
        start: initial values of queries and keys: `truncated_normal`, or `neighbours`, with which heads start by
            reading the tokens beside their own (`initializers.NeighbourHeads`).
        implementation: `plain`, or `fused` for one kernel, on JAX with a GPU or a TPU and without dropout
            (`fused_attention`). Both compute the same.

    >>> layer = SelfAttention(hidden_size=8, num_heads=2)
    >>> x = keras.ops.ones((3, 5, 8))
    >>> layer(x, attention_allowed(keras.ops.ones((3, 5), "int32"))).shape
    TensorShape([3, 5, 8])
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        *,
        dropout_rate: float = 0.0,
        initializer_range: float = 0.02,
        start: str = "truncated_normal",
        implementation: str = "plain",
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # biases are added in float32
        if hidden_size % num_heads:
            raise ValueError(
                "`hidden_size` must be a multiple of `num_heads`. "
                f"Received: hidden_size={hidden_size}, num_heads={num_heads}"
            )
        check_choice("implementation", implementation, ATTENTIONS)
        if implementation == "fused":
            check_backend()
            if dropout_rate:
                raise ValueError(
                    "`dropout_rate` must be 0 with fused attention, whose kernels have no dropout of probabilities. "
                    f"Received: {dropout_rate}"
                )
        self.hidden_size = hidden_size
        self.num_heads = num_heads
        self.dropout_rate = dropout_rate
        self.initializer_range = initializer_range
        self.start = start
        self.implementation = implementation
        self.query_key_value = dense(
            3 * hidden_size, initializer_range, dtype=self.dtype_policy, name="query_key_value"
        )
        if start == "neighbours":
            self.query_key_value.kernel_initializer = NeighbourHeads(num_heads, initializer_range)
        self.output_dense = dense(hidden_size, initializer_range, dtype=self.dtype_policy, name="output_dense")
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy, name="dropout")

    def build(self, input_shape: Any = None, *_: Any) -> None:
        """Create the weights of both products."""
        self.query_key_value.build((None, None, self.hidden_size))
        self.output_dense.build((None, None, self.hidden_size))
        self.built = True

    def call(self, x: Tensor, allowed: Tensor, training: bool = False, seed: Tensor | None = None) -> Tensor:
        """Return the output before the residual and the normalisation, [B, L, D].

        Args:
            x: float [B, L, D].
            allowed: bool [B, 1, L, L], from `attention_allowed`; int [B, L], the `input_mask`, for fused attention.
            training: whether dropout is applied.
            seed: seeds of the rows, integers [B], or an integer scalar, from which the dropout mask is made.
        """
        x, bias = product(self.context(x, allowed, training, seed), self.output_dense, training)
        return x + ops.cast(bias, x.dtype)

    def heads(self, x: Tensor, training: bool = False) -> list[Tensor]:
        """Return query (times 1 / sqrt(H)), key and value of each head, [B, N, L, H], of x, float [B, L, D]."""
        return fused(
            split_heads,
            *product(ops.cast(x, self.compute_dtype), self.query_key_value, training),
            num_heads=self.num_heads,
            training=training,
        )

    def context(self, x: Tensor, allowed: Tensor, training: bool = False, seed: Tensor | None = None) -> Tensor:
        """Return the context vectors of all heads side by side, [B, L, D], the input of the output product.

        The arguments are those of `call`.
        """
        batch, length, _ = ops.shape(x)
        query, key, value = self.heads(x, training)
        if self.implementation == "fused":
            context = fused_attention(query, key, value, allowed)  # [B, N, L, H]
        else:
            scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))  # [B, N, L, L]
            seed, rate = self.dropout.seed_and_rate(training, seed)
            probabilities = fused(dropped_probabilities, scores, allowed, seed, rate=rate, training=training)
            context = ops.matmul(probabilities, value)
        return ops.reshape(ops.transpose(context, (0, 2, 1, 3)), (batch, length, self.hidden_size))
