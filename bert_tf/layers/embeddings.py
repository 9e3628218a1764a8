"""The sum of token, position and segment embeddings, with normalisation and dropout.

Shapes: B batch, L length, D hidden, E embedding size (equal to D unless the embedding is factorised).
"""

from typing import Any

import keras
from keras import ops

from bert_tf.features import Tensor
from bert_tf.fusion import fused
from bert_tf.layers.base import BertLayer, dense, layer_norm, normalized, truncated_normal
from bert_tf.layers.dropout import Dropout, dropped
from bert_tf.layers.initializers import NEIGHBOUR_WAVELENGTH, ScaledSinusoids


def dropped_normalized_sum(
    words: Tensor,
    positions: Tensor,
    segments: Tensor,
    gamma: Tensor,
    beta: Tensor,
    seed: Tensor,
    rate: float,
    epsilon: float,
    dtype: str,
) -> Tensor:
    """Return dropout(LayerNorm(words + positions + segments)) as `dtype`; a fused operation (`bert_tf.fusion`)."""
    return ops.cast(dropped(normalized(words + positions + segments, gamma, beta, epsilon), seed, rate), dtype)


def sums_by_id(rows: Tensor, ids: Tensor, count: int) -> Tensor:
    """Return the sum of the rows of each id, [count, E]; a fused operation (`bert_tf.fusion`).

    It is a product with one-hot rows and not a scatter, because TPU and XLA are slow at scatters with many collisions
    (google-research/bert reads the segments by such a product, too).

    Args:
        rows: float [R, E].
        ids: int [R], below `count`.
        count: number of sums.
    """
    return ops.matmul(ops.transpose(ops.one_hot(ids, count, dtype=rows.dtype)), rows)


def rows_of_few(table: Tensor, ids: Tensor, training: bool) -> Tensor:
    """Return rows of a small table, each of which is read many times, float32 [..., E].

    Under training, `sums_by_id` computes the gradient.

    Args:
        table: float [N, E].
        ids: int [...], below N.
        training: whether the custom gradient is attached.
    """

    def rows_and_gradient(table: Tensor) -> tuple[Tensor, Tensor]:
        def gradient(upstream: Tensor) -> Tensor:
            rows = ops.reshape(upstream, (-1, table.shape[-1]))
            return fused(sums_by_id, rows, ops.reshape(ids, (-1,)), count=table.shape[0])

        return ops.take(table, ids, axis=0), gradient

    table = ops.cast(table, "float32")
    return ops.custom_gradient(rows_and_gradient)(table) if training else rows_and_gradient(table)[0]


@keras.saving.register_keras_serializable(package="bert_tf")
class BertEmbeddings(BertLayer):
    """LayerNorm(token + position + segment), with dropout (Devlin et al. 2018, section 3 and figure 2).

    If `embedding_size` differs from `hidden_size`, a dense layer after the dropout maps one to the other (Lan et al.
    2019, "ALBERT", section 3.1; Clark et al. 2020, "ELECTRA").

    Args:
        vocab_size: number of tokens.
        hidden_size: D.
        max_position_embeddings: length of the longest sequence.
        type_vocab_size: number of segment types.
        dropout_rate: dropout of the normalised sum.
        layer_norm_epsilon: added to the variance.
        initializer_range: standard deviation of the tables' truncated normal.
        position_embedding: `learned` or `sinusoidal` (fixed).
        position_initializer: initial values of learned positions, `truncated_normal`, `sinusoidal`, or `neighbours`
            (sinusoids with the wavelengths that `initializers.NeighbourHeads` expects).
        embedding_size: E; None for D.

    >>> layer = BertEmbeddings(vocab_size=10, hidden_size=4, max_position_embeddings=8)
    >>> ids = keras.ops.zeros((2, 6), "int32")
    >>> layer(ids, ids, ids).shape
    TensorShape([2, 6, 4])
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        max_position_embeddings: int = 512,
        *,
        type_vocab_size: int = 2,
        dropout_rate: float = 0.0,
        layer_norm_epsilon: float = 1e-12,
        initializer_range: float = 0.02,
        position_embedding: str = "learned",
        position_initializer: str = "truncated_normal",
        embedding_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # the tables are read in float32
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.dropout_rate = dropout_rate
        self.layer_norm_epsilon = layer_norm_epsilon
        self.initializer_range = initializer_range
        self.position_embedding = position_embedding
        self.position_initializer = position_initializer
        self.embedding_size = embedding_size
        width = embedding_size or hidden_size
        fixed = position_embedding == "sinusoidal"
        starts: dict[str, Any] = {
            "sinusoidal": ScaledSinusoids(initializer_range),
            "neighbours": ScaledSinusoids(initializer_range, NEIGHBOUR_WAVELENGTH),
        }

        def table(rows: int, name: str, *, initializer: Any = None, trainable: bool = True) -> keras.layers.Embedding:
            return keras.layers.Embedding(
                rows,
                width,
                embeddings_initializer=initializer or truncated_normal(initializer_range),
                dtype=self.variable_dtype,  # float32 under mixed policies too
                trainable=trainable,
                name=name,
            )

        self.word_embeddings = table(vocab_size, "word_embeddings")
        self.position_embeddings = table(
            max_position_embeddings,
            "position_embeddings",
            initializer=starts.get(position_embedding if fixed else position_initializer),
            trainable=not fixed,
        )
        self.token_type_embeddings = table(type_vocab_size, "token_type_embeddings")
        self.layer_norm = layer_norm(layer_norm_epsilon, "layer_norm")
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy, name="dropout")
        self.projection = None
        if width != hidden_size:
            self.projection = dense(hidden_size, initializer_range, dtype=self.dtype_policy, name="projection")

    def build(self, input_shape: Any = None) -> None:
        """Create the weights of the three tables, of the normalisation and, if there is one, of the projection."""
        for table in (self.word_embeddings, self.position_embeddings, self.token_type_embeddings):
            table.build((None, None))
        width = self.embedding_size or self.hidden_size
        self.layer_norm.build((None, None, width))
        if self.projection is not None:
            self.projection.build((None, None, width))
        self.built = True

    def call(
        self,
        input_ids: Tensor,
        segment_ids: Tensor,
        position_ids: Tensor,
        training: bool = False,
        seed: Tensor | None = None,
    ) -> Tensor:
        """Return the embedded tokens, [B, L, D] in the compute dtype.

        Args:
            input_ids: int32 [B, L], below `vocab_size`.
            segment_ids: int32 [B, L], below `type_vocab_size`.
            position_ids: int32 [B, L], below `max_position_embeddings`.
            training: whether dropout is applied.
            seed: seeds of the rows, integers [B], or an integer scalar, from which the dropout mask is made.
        """
        # The tables are summed and normalised in float32: in bfloat16 they would lose half their digits.
        words = ops.cast(self.word_embeddings(input_ids), "float32")
        positions = rows_of_few(self.position_embeddings.embeddings, position_ids, training)
        segments = rows_of_few(self.token_type_embeddings.embeddings, segment_ids, training)
        seed, rate = self.dropout.seed_and_rate(training, seed)
        x = fused(  # [B, L, E]
            dropped_normalized_sum,
            words,
            positions,
            segments,
            ops.convert_to_tensor(self.layer_norm.gamma),
            ops.convert_to_tensor(self.layer_norm.beta),
            seed,
            rate=rate,
            epsilon=self.layer_norm_epsilon,
            dtype=self.compute_dtype,
        )
        return x if self.projection is None else self.projection(x)

    def compute_output_shape(self, input_shape: tuple[int | None, ...], *_: Any) -> tuple[int | None, ...]:
        """Return [B, L, D]."""
        return (*input_shape, self.hidden_size)
