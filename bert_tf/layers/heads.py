"""The heads of the encoder: the pooler, the masked-LM head and the classification head.

Shapes: B batch, L length, P predictions, D hidden, V vocabulary, C classes, E embedding size (equal to D unless the
embedding is factorised).
"""

from typing import Any

import keras
from keras import ops

from bert_tf.features import Tensor
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


def gather_positions(sequence_output: Tensor, positions: Tensor) -> Tensor:
    """Return the vectors at some positions of each row, [B, P, D].

    Args:
        sequence_output: float [B, L, D].
        positions: int [B, P], below L.
    """
    if keras.backend.backend() == "jax":
        # `jax.jit` divides this over devices row by row. It sends the vectors of the form below to all of them.
        return ops.take_along_axis(sequence_output, ops.expand_dims(positions, -1), axis=1)
    batch, length, size = ops.shape(sequence_output)
    flat_positions = ops.cast(positions, "int32") + length * ops.expand_dims(ops.arange(batch, dtype="int32"), -1)
    return ops.take(ops.reshape(sequence_output, (-1, size)), flat_positions, axis=0)


def normalized_activation(
    x: Tensor, bias: Tensor, gamma: Tensor, beta: Tensor, hidden_act: str, epsilon: float
) -> Tensor:
    """Return LayerNorm(activation(x + bias)) in x's dtype; a fused operation (`bert_tf.fusion`)."""
    activated = activation(hidden_act)(ops.cast(x, "float32") + ops.cast(bias, "float32"))
    return ops.cast(normalized(activated, gamma, beta, epsilon), x.dtype)


def scores_of_tokens(x: Tensor, table: Tensor, bias: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    """Return vectors times the transposed table of embeddings, and the bias, for a fused operation that adds them.

    Args:
        x: float [..., E].
        table: float [V, E].
        bias: float32 [V], a variable.
        training: whether a faster gradient is attached.

    Returns:
        The product, [..., V], and the bias, [V].
    """

    def product_and_gradient(x: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
        def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
            return ops.matmul(upstream, table), ops.matmul(ops.transpose(upstream), x)

        return ops.matmul(x, ops.transpose(table)), gradient

    *outer, size = ops.shape(x)
    flat = ops.reshape(x, (-1, size))
    # Automatic differentiation would compute the gradient of the transposed table, and then transpose it in memory.
    function = ops.custom_gradient(product_and_gradient) if training else lambda *ab: product_and_gradient(*ab)[0]
    scores = function(flat, table)
    scores, bias = with_bias(scores, bias, training)
    return ops.reshape(scores, (*outer, table.shape[0])), bias


def biased(x: Tensor, bias: Tensor, dtype: str) -> Tensor:
    """Return x + bias, computed in float32, as `dtype`; a fused operation (`bert_tf.fusion`)."""
    return ops.cast(ops.cast(x, "float32") + ops.cast(bias, "float32"), dtype)


@keras.saving.register_keras_serializable(package="bert_tf")
class Pooler(BertLayer):
    """The pooler: tanh(dense(x)) on the vector of `[CLS]` (Devlin et al. 2018, section 3.1; their `pooled_output`).

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
        self.dense = dense(hidden_size, initializer_range, dtype=self.dtype_policy, name="dense", activation="tanh")

    def build(self, input_shape: Any = None) -> None:
        """Create the weights of the dense layer."""
        self.dense.build((None, self.hidden_size))
        self.built = True

    def call(self, first_vectors: Tensor) -> Tensor:
        """Return the pooled vectors, [..., D], of the `[CLS]` vectors [..., D]."""
        return self.dense(first_vectors)


@keras.saving.register_keras_serializable(package="bert_tf")
class MaskedLMHead(BertLayer):
    """The masked-LM head: logits of all tokens at the masked positions (google-research/bert, `get_masked_lm_output`).

    It gathers the masked positions first, so that the product with the vocabulary covers P positions and not L. A dense
    layer, the activation and LayerNorm follow, then the transposed token embeddings (tied) and an output bias. If the
    embedding is factorised, the dense layer maps to its size, as in ALBERT and ELECTRA.

    Args:
        vocab_size: V.
        hidden_size: D.
        hidden_act: activation after the dense layer: `gelu` (by the error function), `gelu_new` (its tanh
            approximation) or `relu`.
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
        *,
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
        activation(hidden_act)  # Fail at construction, not at the first call.
        self.dense = dense(embedding_size or hidden_size, initializer_range, dtype=self.dtype_policy, name="dense")
        self.layer_norm = layer_norm(layer_norm_epsilon, "layer_norm")

    def build(
        self,
        sequence_output_shape: Any = None,
        masked_lm_positions_shape: Any = None,
        word_embeddings_shape: Any = None,
    ) -> None:
        """Create the weights of the dense layer and of the norm, and the output bias."""
        self.dense.build((None, None, self.hidden_size))
        self.layer_norm.build((None, None, self.embedding_size or self.hidden_size))
        self.output_bias = self.add_weight(
            name="output_bias", shape=(self.vocab_size,), initializer="zeros", dtype="float32", autocast=False
        )
        self.built = True

    def call(
        self, sequence_output: Tensor, masked_lm_positions: Tensor, word_embeddings: Tensor, training: bool = False
    ) -> Tensor:
        """Return the logits, float32 [B, P, V]; under training, in the compute dtype.

        Args:
            sequence_output: float [B, L, D].
            masked_lm_positions: int32 [B, P].
            word_embeddings: float [V, E], the encoder's token embeddings.
            training: whether faster gradients are attached, and the logits keep the compute dtype, since the loss reads
                them more than once.
        """
        x = self._transformed(gather_positions(sequence_output, masked_lm_positions), training)  # [B, P, E]
        logits, bias = scores_of_tokens(x, weight_in(word_embeddings, x.dtype), self.output_bias, training)  # [B, P, V]
        return fused(biased, logits, bias, dtype=x.dtype if training else "float32")

    def logits_by_columns(self, x: Tensor, columns: Tensor) -> Tensor:
        """Return the logits of vectors as `call` does, by the transposed embeddings, float32 [..., V].

        A loop that transposes the embeddings once, before it, multiplies faster.

        Args:
            x: float [..., D], vectors of the encoder.
            columns: float [E, V], the encoder's token embeddings transposed, in the compute dtype.
        """
        scores = ops.matmul(self._transformed(x, training=False), columns)
        return biased(scores, ops.convert_to_tensor(self.output_bias), "float32")

    def _transformed(self, x: Tensor, training: bool) -> Tensor:
        """Return the vectors, [..., E], whose product with the embeddings are the scores, of vectors [..., D]."""
        return fused(
            normalized_activation,
            *product(ops.cast(x, self.compute_dtype), self.dense, training),
            ops.convert_to_tensor(self.layer_norm.gamma),
            ops.convert_to_tensor(self.layer_norm.beta),
            hidden_act=self.hidden_act,
            epsilon=self.layer_norm_epsilon,
        )

    def compute_output_shape(
        self, sequence_output_shape: Any, masked_lm_positions_shape: Any, word_embeddings_shape: Any
    ) -> tuple[int | None, ...]:
        """Return [B, P, V]. Keras matches these arguments with those of `call` by name."""
        return (*masked_lm_positions_shape, self.vocab_size)


@keras.saving.register_keras_serializable(package="bert_tf")
class ClassificationHead(BertLayer):
    """The classification head: dropout and a dense layer to C classes, in float32 (Devlin et al. 2018, section 4.1).

    Args:
        num_classes: C.
        hidden_size: D.
        dropout_rate: dropout before the dense layer.
        initializer_range: standard deviation of the kernel's truncated normal.

    >>> ClassificationHead(num_classes=3, hidden_size=8)(keras.ops.ones((2, 8))).shape
    TensorShape([2, 3])
    """

    def __init__(
        self,
        num_classes: int,
        hidden_size: int,
        *,
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
        self.dense = dense(num_classes, initializer_range, dtype="float32", name="dense")

    def build(self, input_shape: Any = None) -> None:
        """Create the weights of the dense layer."""
        self.dense.build((None, self.hidden_size))
        self.built = True

    def call(self, x: Tensor, training: bool = False, seed: Tensor | None = None) -> Tensor:
        """Return the logits, float32 [..., C], of vectors [..., D]."""
        return self.dense(self.dropout(x, training=training, seed=seed))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return [..., C]."""
        return (*input_shape[:-1], self.num_classes)
