"""Token, position and segment embeddings, summed, normalised, dropped.

Shapes: B batch, L length, D hidden, E embedding size (D, where the embedding is not factorised).
"""

from typing import Any

import keras
from keras import ops

from bert_tf.fusion import fused
from bert_tf.layers.base import BertLayer, dense, layer_norm, normalized, truncated_normal
from bert_tf.layers.dropout import Dropout, dropped
from bert_tf.layers.initializers import NEIGHBOUR_WAVELENGTH, ScaledSinusoids


def dropped_normalized_sum(
    words: Any, positions: Any, segments: Any, gamma: Any, beta: Any, seed: Any, rate: float, epsilon: float, dtype: str
) -> Any:
    """dropout(LayerNorm(words + positions + segments)) in float32, as `dtype`; a fused operation (`bert_tf.fusion`)."""
    return ops.cast(dropped(normalized(words + positions + segments, gamma, beta, epsilon), seed, rate), dtype)


def sums_by_id(rows: Any, ids: Any, count: int) -> Any:
    """Of the rows [R, E] the sum for each id, [count, E], from int [R] below `count`; a fused operation (`bert_tf.fusion`).

    A product with one-hot rows, not a scatter that collides on every row (TPU and XLA are slow at those;
    google-research/bert reads the segments by such a product too).
    """
    return ops.matmul(ops.transpose(ops.one_hot(ids, count, dtype=rows.dtype)), rows)


def rows_of_few(table: Any, ids: Any, training: bool) -> Any:
    """Rows of a small table that are read many times each, float32 [..., E] from [N, E] and int [...].

    Under training the gradient is made by `sums_by_id`.
    """

    def rows_and_gradient(table: Any) -> tuple[Any, Any]:
        def gradient(upstream: Any) -> Any:
            rows = ops.reshape(upstream, (-1, table.shape[-1]))
            return fused(sums_by_id, rows, ops.reshape(ids, (-1,)), count=table.shape[0])

        return ops.take(table, ids, axis=0), gradient

    table = ops.cast(table, "float32")
    return ops.custom_gradient(rows_and_gradient)(table) if training else rows_and_gradient(table)[0]


@keras.saving.register_keras_serializable(package="bert_tf")
class BertEmbeddings(BertLayer):
    """LayerNorm(token + position + segment), with dropout (Devlin et al. 2018, section 3 and figure 2).

    Where `embedding_size` is not `hidden_size`, a dense layer leads from one to the other, after the dropout (Lan et
    al. 2019, "ALBERT", section 3.1; Clark et al. 2020, "ELECTRA").

    Args:
        vocab_size: tokens.
        hidden_size: D.
        max_position_embeddings: the longest sequence.
        type_vocab_size: kinds of segments.
        dropout_rate: on the normalised sum.
        layer_norm_epsilon: added to the variance.
        initializer_range: standard deviation of the tables' truncated normal.
        position_embedding: `learned` or `sinusoidal` (fixed).
        position_initializer: what learned positions start from, `truncated_normal`, `sinusoidal`, or `neighbours`
            (sinusoids of the wavelengths that `initializers.NeighbourHeads` looks for).
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

        def table(rows: int, name: str, initializer: Any = None, trainable: bool = True) -> keras.layers.Embedding:
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
            starts.get(position_embedding if fixed else position_initializer),
            trainable=not fixed,
        )
        self.token_type_embeddings = table(type_vocab_size, "token_type_embeddings")
        self.layer_norm = layer_norm(layer_norm_epsilon, "layer_norm")
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy, name="dropout")
        self.projection = None
        if width != hidden_size:
            self.projection = dense(hidden_size, initializer_range, self.dtype_policy, "projection")

    def build(self, input_shape: Any = None) -> None:
        """Make the three tables, the normalisation and, where there is one, the projection."""
        for table in (self.word_embeddings, self.position_embeddings, self.token_type_embeddings):
            table.build((None, None))
        width = self.embedding_size or self.hidden_size
        self.layer_norm.build((None, None, width))
        if self.projection is not None:
            self.projection.build((None, None, width))
        self.built = True

    def call(
        self,
        input_ids: Any,
        segment_ids: Any,
        position_ids: Any,
        training: bool = False,
        seed: Any = None,
    ) -> Any:
        """The embedded rows, [B, L, D] in the compute dtype.

        Args:
            input_ids: int32 [B, L], below `vocab_size`.
            segment_ids: int32 [B, L], below `type_vocab_size`.
            position_ids: int32 [B, L], below `max_position_embeddings`.
            training: whether to drop.
            seed: of the dropout mask.
        """
        # Sums and norms in float32: three tables of magnitude 0.02 lose half their digits in bfloat16.
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
        """[B, L, D]."""
        return (*input_shape, self.hidden_size)
