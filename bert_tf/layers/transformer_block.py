"""One block of the encoder: attention and feed-forward, each with residual and normalisation after it."""

from typing import Any

import keras
from keras import ops

from bert_tf.layers.attention import SelfAttention
from bert_tf.layers.dropout import Dropout
from bert_tf.layers.random_bits import fold_in

_ACTIVATIONS = {
    "gelu": lambda x: keras.activations.gelu(x, approximate=False),
    "gelu_new": lambda x: keras.activations.gelu(x, approximate=True),
    "relu": keras.activations.relu,
}


def activation(name: str) -> Any:
    """The activation that a configuration names.

    `gelu` is x * Phi(x) by the error function, `gelu_new` its tanh approximation (Hendrycks and Gimpel 2016).

    Raises:
        ValueError: there is none of this name.
    """
    if name not in _ACTIVATIONS:
        raise ValueError(f"`hidden_act` must be one of {', '.join(_ACTIVATIONS)}. Received: {name!r}")
    return _ACTIVATIONS[name]


@keras.saving.register_keras_serializable(package="bert_tf")
class TransformerBlock(keras.layers.Layer):
    """A post-LayerNorm Transformer block (Vaswani et al. 2017, figure 1; google-research/bert `transformer_model`).

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
        hidden_act: str = "gelu",
        dropout_rate: float = 0.0,
        attention_dropout_rate: float = 0.0,
        layer_norm_epsilon: float = 1e-12,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_size = hidden_size
        self.num_heads = num_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.dropout_rate = dropout_rate
        self.attention_dropout_rate = attention_dropout_rate
        self.layer_norm_epsilon = layer_norm_epsilon
        self.initializer_range = initializer_range
        self.activation = activation(hidden_act)

        def dense(units: int, name: str) -> keras.layers.Dense:
            initializer = keras.initializers.TruncatedNormal(stddev=initializer_range)
            return keras.layers.Dense(units, kernel_initializer=initializer, dtype=self.dtype_policy, name=name)

        def norm(name: str) -> keras.layers.LayerNormalization:
            return keras.layers.LayerNormalization(epsilon=layer_norm_epsilon, dtype="float32", name=name)

        self.attention = SelfAttention(
            hidden_size,
            num_heads,
            dropout_rate=attention_dropout_rate,
            initializer_range=initializer_range,
            dtype=self.dtype_policy,
            name="attention",
        )
        self.attention_layer_norm = norm("attention_layer_norm")
        self.intermediate_dense = dense(intermediate_size, "intermediate_dense")
        self.output_dense = dense(hidden_size, "output_dense")
        self.output_layer_norm = norm("output_layer_norm")
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy, name="dropout")

    def build(self, input_shape: Any = None, *_: Any) -> None:
        """Make attention, feed-forward and norms."""
        shape = (None, None, self.hidden_size)
        self.attention.build(shape)
        self.attention_layer_norm.build(shape)
        self.intermediate_dense.build(shape)
        self.output_dense.build((None, None, self.intermediate_size))
        self.output_layer_norm.build(shape)
        self.built = True

    def call(self, x: Any, allowed: Any, training: bool = False, seed: Any = None) -> Any:
        """The block's output, [B, L, D] in the compute dtype.

        Args:
            x: float [B, L, D].
            allowed: bool [B, 1, L, L], from `attention.attention_allowed`.
            training: whether to drop.
            seed: of this block's dropout masks; each of the three gets its own from it.
        """

        def part(number: int) -> Any:
            return None if seed is None else fold_in(seed, number)

        attended = self.attention(x, allowed, training=training, seed=part(0))
        attended = self.dropout(attended, training=training, seed=part(1))
        x = ops.cast(self.attention_layer_norm(x + attended), self.compute_dtype)
        expanded = self.activation(self.intermediate_dense(x))
        contracted = self.dropout(self.output_dense(expanded), training=training, seed=part(2))
        return ops.cast(self.output_layer_norm(x + contracted), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...], *_: Any) -> tuple[int | None, ...]:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return super().get_config() | {
            "hidden_size": self.hidden_size,
            "num_heads": self.num_heads,
            "intermediate_size": self.intermediate_size,
            "hidden_act": self.hidden_act,
            "dropout_rate": self.dropout_rate,
            "attention_dropout_rate": self.attention_dropout_rate,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "initializer_range": self.initializer_range,
        }
