"""What stands on the encoder: pooler, masked-LM head, classification head.

Shapes: B batch, L length, P predictions, D hidden, V vocabulary, C classes, E embedding size (D, where the embedding is
not factorised).
"""

from typing import Any

import keras
from keras import ops

from bert_tf.layers.base import BertLayer, activation, dense, layer_norm
from bert_tf.layers.dropout import Dropout


def gather_positions(sequence_output: Any, positions: Any) -> Any:
    """The vectors at `positions` of each row: [B, P, D] from [B, L, D] and int [B, P]."""
    return ops.take_along_axis(sequence_output, ops.expand_dims(positions, -1), axis=1)


@keras.saving.register_keras_serializable(package="bert_tf")
class Pooler(BertLayer):
    """tanh(dense(x)) over the vector of `[CLS]` (Devlin et al. 2018, section 3.1; `pooled_output` in their code).

    Args:
        hidden_size: D.
        initializer_range: standard deviation of the kernel's truncated normal.

    >>> Pooler(hidden_size=8)(keras.ops.ones((3, 8))).shape
    TensorShape([3, 8])
    """

    def __init__(self, hidden_size: int, initializer_range: float = 0.02, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden_size = hidden_size
        self.initializer_range = initializer_range
        self.dense = dense(hidden_size, initializer_range, self.dtype_policy, "dense", activation="tanh")

    def build(self, input_shape: Any = None) -> None:
        """Make the product."""
        self.dense.build((None, self.hidden_size))
        self.built = True

    def call(self, first_vectors: Any) -> Any:
        """[..., D] from the `[CLS]` vectors [..., D]."""
        return self.dense(first_vectors)


@keras.saving.register_keras_serializable(package="bert_tf")
class MaskedLMHead(BertLayer):
    """Scores of all pieces at the masked positions (google-research/bert, `get_masked_lm_output`).

    Gathers first, so that the product with the vocabulary covers P places instead of L; then dense, activation and
    LayerNorm; then the piece embeddings, transposed (tied), and an output bias of their own. Where the embedding is
    factorised, the dense layer leads to its size, as in ALBERT and ELECTRA.

    Args:
        vocab_size: V.
        hidden_size: D.
        hidden_act: gelu, gelu_new or relu, see `base.activation`.
        layer_norm_epsilon: added to the variance.
        initializer_range: standard deviation of the kernel's truncated normal.
        embedding_size: E; None for D.

    >>> head = MaskedLMHead(vocab_size=30, hidden_size=8)
    >>> positions, word_embeddings = keras.ops.ones((2, 3), "int32"), keras.ops.ones((30, 8))
    >>> head(keras.ops.ones((2, 6, 8)), positions, word_embeddings).shape
    TensorShape([2, 3, 30])
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        hidden_act: str = "gelu",
        layer_norm_epsilon: float = 1e-12,
        initializer_range: float = 0.02,
        embedding_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.hidden_act = hidden_act
        self.layer_norm_epsilon = layer_norm_epsilon
        self.initializer_range = initializer_range
        self.embedding_size = embedding_size
        self.activation = activation(hidden_act)
        self.dense = dense(embedding_size or hidden_size, initializer_range, self.dtype_policy, "dense")
        self.layer_norm = layer_norm(layer_norm_epsilon, "layer_norm")

    def build(self, input_shape: Any = None, *_: Any) -> None:
        """Make dense, norm and the output bias."""
        self.dense.build((None, None, self.hidden_size))
        self.layer_norm.build((None, None, self.embedding_size or self.hidden_size))
        self.output_bias = self.add_weight(
            name="output_bias", shape=(self.vocab_size,), initializer="zeros", dtype="float32", autocast=False
        )
        self.built = True

    def call(self, sequence_output: Any, masked_lm_positions: Any, word_embeddings: Any) -> Any:
        """Logits, float32 [B, P, V].

        Args:
            sequence_output: float [B, L, D].
            masked_lm_positions: int32 [B, P].
            word_embeddings: the encoder's piece embeddings, float [V, E].
        """
        x = gather_positions(sequence_output, masked_lm_positions)  # [B, P, D]
        x = ops.cast(self.layer_norm(self.activation(self.dense(x))), self.compute_dtype)  # [B, P, E]
        logits = ops.matmul(x, ops.transpose(ops.cast(word_embeddings, self.compute_dtype)))  # [B, P, V]
        return ops.cast(logits, "float32") + self.output_bias

    def compute_output_shape(
        self, sequence_output_shape: Any, masked_lm_positions_shape: Any, word_embeddings_shape: Any
    ) -> tuple[int | None, ...]:
        """[B, P, V]; Keras matches the arguments with those of `call` by their names."""
        return (*masked_lm_positions_shape, self.vocab_size)


@keras.saving.register_keras_serializable(package="bert_tf")
class ClassificationHead(BertLayer):
    """Dropout, then a dense layer to C classes, in float32 (Devlin et al. 2018, section 4.1).

    Args:
        num_classes: C.
        hidden_size: D.
        dropout_rate: before the dense layer.
        initializer_range: standard deviation of the kernel's truncated normal.

    >>> ClassificationHead(num_classes=3, hidden_size=8)(keras.ops.ones((2, 8))).shape
    TensorShape([2, 3])
    """

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
        self.dense = dense(num_classes, initializer_range, "float32", "dense")

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
