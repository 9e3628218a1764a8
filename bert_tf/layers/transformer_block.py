"""A block of the encoder: attention and a feed-forward part, each followed by residual and normalisation."""

from functools import partial
from typing import Any

import keras
from keras import ops

from bert_tf.features import Tensor
from bert_tf.fusion import fused, recomputed, weight_in, weights_read_directly
from bert_tf.layers.attention import SelfAttention
from bert_tf.layers.base import (
    BertLayer,
    activated_product,
    activation,
    dense,
    layer_norm,
    product,
    seed_part,
    with_bias,
)
from bert_tf.layers.dropout import Dropout, dropped_sum_normalized


@keras.saving.register_keras_serializable(package="bert_tf")
class TransformerBlock(BertLayer):
    """A post-LayerNorm Transformer block (Vaswani et al. 2017, figure 1; google-research/bert `transformer_model`).

    Args:
        hidden_size: D.
        num_heads: number of attention heads; divides D.
        intermediate_size: size of the feed-forward part.
        hidden_act: activation of the feed-forward part: `gelu` (by the error function), `gelu_new` (its tanh
            approximation) or `relu`.
        dropout_rate: dropout of the outputs of both parts.
        attention_dropout_rate: dropout of the attention probabilities.
        layer_norm_epsilon: added to the variance.
        initializer_range: standard deviation of the kernels' truncated normal.
        attention_start: initial values of queries and keys: `truncated_normal`, or `neighbours`, with which heads
            start by reading the tokens beside their own.
        attention_implementation: `plain`, or `fused` for one kernel, on JAX with a GPU or a TPU
            (`layers.fused_attention`).
        recompute: whether training keeps only the block's input, and recomputes the rest in the backward pass (Chen et
            al. 2016). This takes a third more products, and a fraction of the activations' memory.

    >>> from bert_tf.layers.attention import attention_allowed
    >>> block = TransformerBlock(hidden_size=8, num_heads=2, intermediate_size=16)
    >>> block(keras.ops.ones((3, 5, 8)), attention_allowed(keras.ops.ones((3, 5), "int32"))).shape
    TensorShape([3, 5, 8])
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        intermediate_size: int,
        *,
        hidden_act: str = "gelu",
        dropout_rate: float = 0.0,
        attention_dropout_rate: float = 0.0,
        layer_norm_epsilon: float = 1e-12,
        initializer_range: float = 0.02,
        attention_start: str = "truncated_normal",
        attention_implementation: str = "plain",
        recompute: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # biases and norms are read in float32
        self.hidden_size = hidden_size
        self.num_heads = num_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.dropout_rate = dropout_rate
        self.attention_dropout_rate = attention_dropout_rate
        self.layer_norm_epsilon = layer_norm_epsilon
        self.initializer_range = initializer_range
        self.attention_start = attention_start
        self.attention_implementation = attention_implementation
        self.recompute = recompute
        activation(hidden_act)  # Fail at construction, not at the first call.
        self.attention = SelfAttention(
            hidden_size,
            num_heads,
            dropout_rate=attention_dropout_rate,
            initializer_range=initializer_range,
            start=attention_start,
            implementation=attention_implementation,
            dtype=self.dtype_policy,
            name="attention",
        )
        self.attention_layer_norm = layer_norm(layer_norm_epsilon, "attention_layer_norm")
        self.intermediate_dense = dense(
            intermediate_size, initializer_range, dtype=self.dtype_policy, name="intermediate_dense"
        )
        self.output_dense = dense(hidden_size, initializer_range, dtype=self.dtype_policy, name="output_dense")
        self.output_layer_norm = layer_norm(layer_norm_epsilon, "output_layer_norm")
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy, name="dropout")

    def build(self, input_shape: Any = None, *_: Any) -> None:
        """Create the weights of attention, feed-forward part and norms."""
        shape = (None, None, self.hidden_size)
        self.attention.build(shape)
        self.attention_layer_norm.build(shape)
        self.intermediate_dense.build(shape)
        self.output_dense.build((None, None, self.intermediate_size))
        self.output_layer_norm.build(shape)
        self.built = True

    def call(self, x: Tensor, allowed: Tensor, training: bool = False, seed: Tensor | None = None) -> Tensor:
        """Return the block's output, [B, L, D] in the compute dtype.

        Args:
            x: float [B, L, D].
            allowed: bool [B, 1, L, L], from `attention.attention_allowed`; int [B, L], the `input_mask`, for fused
                attention.
            training: whether dropout is applied.
            seed: seeds of the rows, integers [B], or an integer scalar, from which the seeds of the block's three
                dropout masks are made.
        """
        if not (self.recompute and training):
            return self._attend_and_feed_forward(x, allowed, training, seed)
        if seed is None:
            # The seed is drawn once: a layer that counts its calls would draw other masks when it is recomputed.
            seed = (self.dropout if self.dropout_rate else self.attention.dropout).next_seed()

        def output(x: Tensor) -> Tensor:
            with weights_read_directly():
                return self._attend_and_feed_forward(x, allowed, training, seed)

        return keras.remat(output)(x)

    def _attend_and_feed_forward(self, x: Tensor, allowed: Tensor, training: bool, seed: Tensor) -> Tensor:
        x = ops.cast(x, self.compute_dtype)
        context = self.attention.context(x, allowed, training, seed_part(seed, 0))
        return self.after_attention(x, context, training, seed)

    def after_attention(self, x: Tensor, context: Tensor, training: bool = False, seed: Tensor | None = None) -> Tensor:
        """Return the block's output, [B, L, D], of its input x and of its heads' context vectors, both [B, L, D]."""
        attended = product(context, self.attention.output_dense, training)
        x = self._add(x, *attended, self.attention_layer_norm, training, seed_part(seed, 1))
        contracted = recomputed(
            partial(activated_product, hidden_act=self.hidden_act),
            *product(x, self.intermediate_dense, training),
            weight_in(self.output_dense.kernel, x.dtype),
        )
        contracted = with_bias(contracted, self.output_dense.bias, training)
        return self._add(x, *contracted, self.output_layer_norm, training, seed_part(seed, 2))

    def _add(
        self,
        residual: Tensor,
        x: Tensor,
        bias: Tensor,
        norm: keras.layers.LayerNormalization,
        training: bool,
        seed: Tensor,
    ) -> Tensor:
        """Return norm(residual + dropout(x + bias)), the end of both halves of a block."""
        seed, rate = self.dropout.seed_and_rate(training, seed)

        def output(*tensors: Tensor) -> Tensor:
            return fused(dropped_sum_normalized, *tensors, seed, rate=rate, epsilon=self.layer_norm_epsilon)

        return recomputed(
            output, x, bias, residual, ops.convert_to_tensor(norm.gamma), ops.convert_to_tensor(norm.beta)
        )
