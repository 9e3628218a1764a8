"""Rows of several kinds in a pre-training: bidirectional, left to right, and sequence to sequence (UniLM).

Dong et al. 2019, "Unified Language Model Pre-training", section 2.3. The objective is masked LM in all of them; they
differ in the tokens that a token may read.

Axes: B batch, L length, K sequences in a row.
"""

from collections.abc import Mapping

import tensorflow as tf

from bert_tf.configs import MixtureConfig
from bert_tf.features import ORDER

BIDIRECTIONAL, LEFT_TO_RIGHT, SEQ2SEQ = range(3)
"""The kinds of rows."""

BLOCK_ROWS = 1024
"""The number of consecutive rows in which each kind has its share, to one row."""

_STRIDE = 633  # odd, and near the golden section of a block, which scatters the kinds
_GOLDEN = 2654435769  # the golden section of 2 ** 32


def row_kinds(numbers: tf.Tensor, mixture: MixtureConfig) -> tf.Tensor:
    """Return the kind of each row, int32 [B], one of `BIDIRECTIONAL`, `LEFT_TO_RIGHT` and `SEQ2SEQ`.

    The kind depends on the row's number and the mixture alone, whatever the batch size and the number of hosts.

    Args:
        numbers: the numbers of rows in the training, int64 [B]: step x batch size + row of the batch.
        mixture: the frequencies of the kinds.
    """
    block, offset = numbers // BLOCK_ROWS, numbers % BLOCK_ROWS
    # The rows of a block are permuted, by a shift of its own. Otherwise a row of the batch (hence a stream of records)
    # could have the same kind in every step.
    shift = block * _GOLDEN % 2**32 // (2**32 // BLOCK_ROWS)
    places = block * BLOCK_ROWS + (offset * _STRIDE + shift) % BLOCK_ROWS
    directed = mixture.left_to_right + mixture.seq2seq
    is_bidirectional, before = _taken(places, mixture.bidirectional, mixture.bidirectional + directed)
    is_left_to_right, _ = _taken(places - before, mixture.left_to_right, directed)
    return tf.where(is_bidirectional, BIDIRECTIONAL, tf.where(is_left_to_right, LEFT_TO_RIGHT, SEQ2SEQ))


def _taken(places: tf.Tensor, frequency: float, total: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Return whether each place is one of those that are taken at even distances, and how many are taken before it."""

    def taken_before(places: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.floor(tf.cast(places, tf.float64) * frequency / total), tf.int64)

    before = taken_before(places)
    return taken_before(places + 1) > before, before


def mixed(batch: Mapping[str, tf.Tensor], numbers: tf.Tensor, mixture: MixtureConfig) -> dict[str, tf.Tensor]:
    """Return a pre-training batch whose rows have the kinds of their numbers.

    Left to right, a token reads no token after it in its sequence. In a row of sequence to sequence, the tokens of A
    read A, and those of B read A and no token after them. Next sentences are predicted in bidirectional rows alone:
    in the others, `[CLS]` does not read B. A batch of a mixture of bidirectional rows alone is returned as it is.

    Args:
        batch: the tensors of `features.pretraining_batch`.
        numbers: as in `row_kinds`.
        mixture: the frequencies of the kinds.
    """
    batch = dict(batch)
    if mixture.is_bidirectional:
        return batch
    kinds = row_kinds(numbers, mixture)[:, None]
    # `order` is compared only, so that positions say the same as 1, 2, 3, ... from the first token of B on.
    orders = tf.where(kinds == LEFT_TO_RIGHT, 1, tf.where(kinds == SEQ2SEQ, batch["segment_ids"], 0))
    batch[ORDER] = batch["position_ids"] * orders
    for name in ("next_sentence_positions", "next_sentence_labels", "next_sentence_weights"):
        batch[name] = tf.where(kinds == BIDIRECTIONAL, batch[name], tf.zeros_like(batch[name]))
    return batch
