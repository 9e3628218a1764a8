"""What stands on the encoder: pooler, masked-LM head, classification head.

Shapes: B batch, L length, P predictions, D hidden, V vocabulary, C classes.
"""

from typing import Any

import keras
from keras import ops

from bert_tf.layers.dropout import Dropout
from bert_tf.layers.transformer_block import activation


def gather_positions(sequence_output: Any, positions: Any) -> Any:
    """The vectors at `positions` of each row: [B, P, D] from [B, L, D] and int [B, P]."""
    return ops.take_along_axis(sequence_output, ops.expand_dims(positions, -1), axis=1)


@keras.saving.register_keras_serializable(package="bert_tf")
class Pooler(keras.layers.Layer):
    """tanh(dense(x)) over the vector of `[CLS]` (Devlin et al. 2018, section 3.1; `pooled_output` in their code)."""

    def __init__(self, hidden_size: int, initializer_range: float = 0.02, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden_size = hidden_size
        self.initializer_range = initializer_range
        self.dense = keras.layers.Dense(
            hidden_size,
            activation="tanh",
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=initializer_range),
            dtype=self.dtype_policy,
            name="dense",
        )

    def build(self, input_shape: Any = None) -> None:
        """Make the product."""
        self.dense.build((None, self.hidden_size))
        self.built = True

    def call(self, first_vectors: Any) -> Any:
        """[..., D] from the `[CLS]` vectors [..., D]."""
        return self.dense(first_vectors)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return super().get_config() | {
            "hidden_size": self.hidden_size,
            "initializer_range": self.initializer_range,
        }


@keras.saving.register_keras_serializable(package="bert_tf")
class MaskedLMHead(keras.layers.Layer):
    """Scores of all pieces at the masked positions (google-research/bert, `get_masked_lm_output`).

    Gathers first, so that the product with the vocabulary covers P places instead of L; then dense, activation and
    LayerNorm; then the piece embeddings, transposed (tied), and an output bias of their own.
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        hidden_act: str = "gelu",
        layer_norm_epsilon: float = 1e-12,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.hidden_act = hidden_act
        self.layer_norm_epsilon = layer_norm_epsilon
        self.initializer_range = initializer_range
        self.activation = activation(hidden_act)
        self.dense = keras.layers.Dense(
            hidden_size,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=initializer_range),
            dtype=self.dtype_policy,
            name="dense",
        )
        self.layer_norm = keras.layers.LayerNormalization(
            epsilon=layer_norm_epsilon, dtype="float32", name="layer_norm"
        )

    def build(self, input_shape: Any = None, *_: Any) -> None:
        """Make dense, norm and the output bias."""
        self.dense.build((None, None, self.hidden_size))
        self.layer_norm.build((None, None, self.hidden_size))
        self.output_bias = self.add_weight(
            name="output_bias", shape=(self.vocab_size,), initializer="zeros", dtype="float32", autocast=False
        )
        self.built = True

    def call(self, sequence_output: Any, masked_lm_positions: Any, word_embeddings: Any) -> Any:
        """Logits, float32 [B, P, V].

        Args:
            sequence_output: float [B, L, D].
            masked_lm_positions: int32 [B, P].
            word_embeddings: the encoder's piece embeddings, float [V, D].
        """
        x = gather_positions(sequence_output, masked_lm_positions)  # [B, P, D]
        x = ops.cast(self.layer_norm(self.activation(self.dense(x))), self.compute_dtype)
        logits = ops.matmul(x, ops.transpose(ops.cast(word_embeddings, self.compute_dtype)))  # [B, P, V]
        return ops.cast(logits, "float32") + self.output_bias

    def compute_output_shape(
        self, sequence_output_shape: Any, masked_lm_positions_shape: Any, word_embeddings_shape: Any
    ) -> tuple[int | None, ...]:
        """[B, P, V]; Keras matches the arguments with those of `call` by their names."""
        return (*masked_lm_positions_shape, self.vocab_size)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return super().get_config() | {
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "hidden_act": self.hidden_act,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "initializer_range": self.initializer_range,
        }


@keras.saving.register_keras_serializable(package="bert_tf")
class ClassificationHead(keras.layers.Layer):
    """Dropout, then a dense layer to C classes, in float32 (Devlin et al. 2018, section 4.1)."""

    def __init__(
        self,
        num_classes: int,
        hidden_size: int,
        dropout_rate: float = 0.0,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.hidden_size = hidden_size
        self.dropout_rate = dropout_rate
        self.initializer_range = initializer_range
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy, name="dropout")
        self.dense = keras.layers.Dense(
            num_classes,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=initializer_range),
            dtype="float32",
            name="dense",
        )

    def build(self, input_shape: Any = None) -> None:
        """Make the product."""
        self.dense.build((None, self.hidden_size))
        self.built = True

    def call(self, x: Any, training: bool = False, seed: Any = None) -> Any:
        """Logits, float32 [..., C], from vectors [..., D]."""
        return self.dense(self.dropout(x, training=training, seed=seed))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """[..., C]."""
        return (*input_shape[:-1], self.num_classes)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return super().get_config() | {
            "num_classes": self.num_classes,
            "hidden_size": self.hidden_size,
            "dropout_rate": self.dropout_rate,
            "initializer_range": self.initializer_range,
        }
