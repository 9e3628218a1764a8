"""`detokenization.detokenized` in graph operations, for a SavedModel that generates texts.

Axes: B texts, T tokens of a text; a text has at most as many words.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from keras import ops

from bert_tf.tokenization.detokenization import WordMarks, goes_on, marks_of, spaces_before


class GraphDetokenizer(tf.Module):
    """The texts of tokens, by the rules and the tables of `detokenization`.

    Args:
        tokens: the tokens of the vocabulary.
    """

    def __init__(self, tokens: Sequence[str]):
        super().__init__(name="graph_detokenizer")
        going_on = [goes_on(token) for token in tokens]
        without_marks = [token[2:] if joins else token for token, joins in zip(tokens, going_on, strict=True)]
        self._tokens, self._continuations = tf.constant(list(tokens)), tf.constant(without_marks)
        self._goes_on = tf.constant(going_on)
        self._is_number = tf.constant([part.isdigit() for part in without_marks])
        self._marks = WordMarks(*map(tf.constant, np.array([marks_of(token) for token in tokens], bool).T))

    def __call__(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Return the texts of tokens, string [B].

        Args:
            ids: int32 [B, T], none of them a special token.
            lengths: int32 [B], the number of tokens of each text.
        """
        rows, length = tf.shape(ids)[0], tf.shape(ids)[1]
        places = tf.range(length)
        used = places < lengths[:, None]
        goes_on = tf.gather(self._goes_on, ids) & (places > 0) & used
        starts = used & ~goes_on
        words = tf.maximum(tf.cumsum(tf.cast(starts, tf.int32), axis=1) - 1, 0)  # [B, T], the word of each token
        cells = tf.where(used, words + length * tf.range(rows)[:, None], -1)  # negative ones are left out

        def of_words(values: tf.Tensor, reduce: object) -> tf.Tensor:
            found = reduce(tf.reshape(values, [-1]), tf.reshape(cells, [-1]), rows * length)  # type: ignore[operator]
            return tf.reshape(found, [rows, length])

        first = tf.maximum(of_words(tf.where(starts, ids, -1), tf.math.unsorted_segment_max), 0)
        has_one_token = of_words(tf.cast(used, tf.int32), tf.math.unsorted_segment_sum) == 1
        exists = tf.range(length) < tf.reduce_sum(tf.cast(starts, tf.int32), axis=1, keepdims=True)
        digits = tf.where(goes_on, tf.gather(self._is_number, ids), tf.gather(self._marks.number, ids))
        is_number = of_words(tf.cast(digits, tf.int32), tf.math.unsorted_segment_min) == 1
        marks = WordMarks(*(tf.gather(mark, first) & has_one_token for mark in self._marks))
        # A longer word has these properties by its first character.
        wide, wordy = (tf.gather(mark, first) & exists for mark in (self._marks.wide, self._marks.wordy))
        marks = marks._replace(number=is_number & exists, wide=wide, wordy=wordy)
        spaces = tf.gather(spaces_before(marks, numpy=ops), words, batch_dims=1) & starts
        parts = tf.where(goes_on, tf.gather(self._continuations, ids), tf.gather(self._tokens, ids))
        parts = tf.where(spaces, " ", "") + tf.where(used, parts, "")
        return tf.strings.reduce_join(parts, axis=1)
