"""What stands on the encoder: pooler, masked-LM head, classification head.

Shapes: B batch, L length, P predictions, D hidden, V vocabulary, C classes, E embedding size (D, where the embedding is
not factorised).
"""

from typing import Any

import keras
from keras import ops

from bert_tf.fusion import fused, weight_in
from bert_tf.layers.base import (
    BertLayer,
    activation,
    dense,
    layer_norm,
    normalized,
    product,
    with_bias,
)
from bert_tf.layers.dropout import Dropout


def gather_positions(sequence_output: Any, positions: Any) -> Any:
    """The vectors at `positions` of each row: [B, P, D] from [B, L, D] and int [B, P]."""
    batch, length, size = ops.shape(sequence_output)
    places = ops.cast(positions, "int32") + length * ops.expand_dims(ops.arange(batch, dtype="int32"), -1)
    return ops.take(ops.reshape(sequence_output, (-1, size)), places, axis=0)


def normalized_activation(x: Any, bias: Any, gamma: Any, beta: Any, hidden_act: str, epsilon: float) -> Any:
    """LayerNorm(activation(x + bias)) in float32, in x's dtype; a fused operation (`bert_tf.fusion`)."""
    activated = activation(hidden_act)(ops.cast(x, "float32") + ops.cast(bias, "float32"))
    return ops.cast(normalized(activated, gamma, beta, epsilon), x.dtype)


def scores_of_tokens(x: Any, table: Any, bias: Any, training: bool) -> tuple[Any, Any]:
    """Vectors x [..., E] times the transposed table [V, E], [..., V], and the bias [V]; see `base.product`."""

    def product_and_gradient(x: Any, table: Any) -> tuple[Any, Any]:
        def gradient(upstream: Any) -> tuple[Any, Any]:
            return ops.matmul(upstream, table), ops.matmul(ops.transpose(upstream), x)

        return ops.matmul(x, ops.transpose(table)), gradient

    *outer, size = ops.shape(x)
    flat = ops.reshape(x, (-1, size))
    # Left to itself, the gradient of the transposed table is made first and then transposed, in memory.
    function = ops.custom_gradient(product_and_gradient) if training else lambda *ab: product_and_gradient(*ab)[0]
    scores = function(flat, table)
    scores, bias = with_bias(scores, bias, training)
    return ops.reshape(scores, (*outer, table.shape[0])), bias


def biased(x: Any, bias: Any, dtype: str) -> Any:
    """The sum, taken in float32, as `dtype`; a fused operation (`bert_tf.fusion`)."""
    return ops.cast(ops.cast(x, "float32") + ops.cast(bias, "float32"), dtype)


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
    """Scores of all tokens at the masked positions (google-research/bert, `get_masked_lm_output`).

    Gathers first, so that the product with the vocabulary covers P places instead of L; then dense, activation and
    LayerNorm; then the token embeddings, transposed (tied), and an output bias of their own. Where the embedding is
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
        super().__init__(autocast=False, **kwargs)  # biases and norm are read in float32
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.hidden_act = hidden_act
        self.layer_norm_epsilon = layer_norm_epsilon
        self.initializer_range = initializer_range
        self.embedding_size = embedding_size
        activation(hidden_act)  # an unknown name is told here, not in the first call
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

    def call(self, sequence_output: Any, masked_lm_positions: Any, word_embeddings: Any, training: bool = False) -> Any:
        """Logits, [B, P, V], float32; under training in the compute dtype, since the loss reads them more than once.

        Args:
            sequence_output: float [B, L, D].
            masked_lm_positions: int32 [B, P].
            word_embeddings: the encoder's token embeddings, float [V, E].
            training: see above.
        """
        x = gather_positions(sequence_output, masked_lm_positions)  # [B, P, D]
        x = fused(  # [B, P, E]
            normalized_activation,
            *product(ops.cast(x, self.compute_dtype), self.dense, training),
            ops.convert_to_tensor(self.layer_norm.gamma),
            ops.convert_to_tensor(self.layer_norm.beta),
            hidden_act=self.hidden_act,
            epsilon=self.layer_norm_epsilon,
        )
        logits, bias = scores_of_tokens(x, weight_in(word_embeddings, x.dtype), self.output_bias, training)  # [B, P, V]
        return fused(biased, logits, bias, dtype=x.dtype if training else "float32")

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
