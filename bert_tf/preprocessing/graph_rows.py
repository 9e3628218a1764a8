"""The cutting of rows in graph operations (`tokenization.rows`).

Axes: B texts, L length.
"""

import tensorflow as tf

from bert_tf.tokenization.rows import head_length


def head_and_tail(ids: tf.RaggedTensor, room: int) -> tf.RaggedTensor:
    """Return the head and the tail of each text that has more than `room` tokens.

    Args:
        ids: int32 [B, None], the ids of texts.
        room: the largest number of tokens.

    Returns:
        int32 [B, None].
    """
    head = head_length(room)
    lengths = ids.row_lengths()
    indices = tf.ragged.range(lengths)
    own_lengths = tf.repeat(lengths, lengths)
    is_kept = (indices.flat_values < head) | (indices.flat_values >= own_lengths - (room - head))
    return tf.ragged.boolean_mask(ids, indices.with_flat_values(is_kept))


def cut_to_longest(rows: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return rows without the padding that all of them share.

    Args:
        rows: the features of rows, int32 [B, L], `input_mask` among them.
    """
    lengths = tf.reduce_sum(rows["input_mask"], axis=1)
    longest = tf.reduce_max(tf.concat([lengths, [0]], axis=0))
    return {name: row[:, :longest] for name, row in rows.items()}
