"""The search for added tokens in graph operations (`tokenization.added_tokens`).

Each token found becomes one code point of the surrogates, which no decoded text holds.

Axes: B texts, C characters of all texts, N places where a token may begin, P patterns, K characters of a pattern.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf

from bert_tf.preprocessing.graph_tables import PagedTable, Text
from bert_tf.tokenization import unicode_tables as ucd
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

FIRST_SURROGATE = 0xD800
MAX_ADDED_TOKENS = 2048
"""The number of surrogates."""

_ANY, _OUTSIDE = -1, -2


def surrogate(number: int) -> str:
    """Return the code point that stands for the added token of this number."""
    return chr(FIRST_SURROGATE + number)


class GraphMatcher(tf.Module):
    """The search for several strings: of those that begin at the leftmost place, the longest is found.

    Args:
        patterns: string -> (number of the token, whether it must be a single word).
    """

    def __init__(self, patterns: Mapping[str, tuple[int, bool]]):
        super().__init__()
        ordered = sorted(patterns, key=len, reverse=True)  # the first match is the longest
        size = len(ordered[0])
        codes = np.array([[*map(ord, pattern), *[_ANY] * (size - len(pattern))] for pattern in ordered], np.int32)
        self._size = size
        self._codes = tf.constant(codes)  # [P, K]
        self._lengths = tf.constant([len(pattern) for pattern in ordered], tf.int64)
        self._tokens = tf.constant([FIRST_SURROGATE + patterns[pattern][0] for pattern in ordered], tf.int32)
        self._single = tf.constant([patterns[pattern][1] for pattern in ordered])
        self._is_first = PagedTable.of_characters({pattern[0] for pattern in ordered})
        self._is_word = PagedTable.of_bytes(ucd.WORD_CHARACTER)

    def replace(self, text: Text) -> Text:
        """Return the texts with one code point, a surrogate, in place of each token found."""
        places = tf.where(self._is_first(text.codes) == 1)[:, 0]
        return tf.cond(tf.size(places) > 0, lambda: self._replace(text, places), lambda: text)

    def _replace(self, text: Text, places: tf.Tensor) -> Text:
        rows = tf.searchsorted(text.splits, places, side="right") - 1
        first, end = tf.gather(text.splits, rows), tf.gather(text.splits, rows + 1)
        indices = places[:, None] + tf.range(self._size, dtype=tf.int64)  # [N, K]
        clipped = tf.minimum(indices, tf.size(text.codes, tf.int64) - 1)
        windows = tf.where(indices < end[:, None], tf.gather(text.codes, clipped), _OUTSIDE)
        equal = (windows[:, None, :] == self._codes) | (self._codes == _ANY)
        matches = tf.reduce_all(equal, axis=2)  # [N, P]
        which = tf.argmax(tf.cast(matches, tf.int32), axis=1)
        lengths = tf.gather(self._lengths, which)
        kept = tf.reduce_any(matches, axis=1)
        # Tokens do not overlap. One that is no single word is not replaced, but the search goes on after it.
        kept &= _first_come(places, tf.where(kept, lengths, 0))
        before, after = tf.maximum(places - 1, 0), tf.minimum(places + lengths, tf.size(text.codes, tf.int64) - 1)
        joined = (places > first) & (self._is_word(tf.gather(text.codes, before)) == 1)
        joined |= (places + lengths < end) & (self._is_word(tf.gather(text.codes, after)) == 1)
        kept &= ~(tf.gather(self._single, which) & joined)

        places, which, lengths = (tf.boolean_mask(values, kept) for values in (places, which, lengths))
        clipped = tf.boolean_mask(clipped, kept)
        within = tf.range(self._size, dtype=tf.int64) < lengths[:, None]
        starts = tf.reduce_min(tf.where(within, tf.gather(text.starts, clipped), tf.int64.max), axis=1)
        ends = tf.reduce_max(tf.where(within, tf.gather(text.ends, clipped), 0), axis=1)
        steps = tf.concat([tf.ones_like(places), -tf.ones_like(places)], axis=0)
        edges = tf.concat([places + 1, places + lengths], axis=0)
        size = tf.size(text.codes, tf.int64)[None] + 1
        inside = tf.cumsum(tf.scatter_nd(edges[:, None], steps, size))[:-1] > 0
        replaced = Text(
            tf.tensor_scatter_nd_update(text.codes, places[:, None], tf.gather(self._tokens, which)),
            text.splits,
            tf.tensor_scatter_nd_update(text.starts, places[:, None], starts),
            tf.tensor_scatter_nd_update(text.ends, places[:, None], ends),
        )
        return replaced.without(inside)


def matcher_of(patterns: Mapping[str, tuple[int, bool]], ids: Iterable[int]) -> GraphMatcher | None:
    """Return the matcher of `AddedTokenSplitter.literal` or `.normalized`; None if there are no patterns.

    Args:
        patterns: string -> (id, whether it must be a single word).
        ids: the ids of the added tokens in the order of their numbers.
    """
    numbers = {token_id: number for number, token_id in enumerate(ids)}
    numbered = {pattern: (numbers[token_id], single) for pattern, (token_id, single) in patterns.items()}
    return GraphMatcher(numbered) if numbered else None


def wordpiece_tokens(tokenizer: WordPieceTokenizer) -> list[str]:
    """Return the vocabulary, with names that no word has in place of tokens that words do not yield."""
    last = {token: index for index, token in enumerate(tokenizer.tokens)}
    hidden = {token.content for token in tokenizer.options.added_tokens if not token.in_wordpiece}
    return [
        token if token and token not in hidden and last[token] == index else f"not a word {index}"
        for index, token in enumerate(tokenizer.tokens)
    ]


def _first_come(places: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Return whether each span begins after the end of the last one that was taken before it, bool [N]."""

    def step(state: tuple[tf.Tensor, tf.Tensor], span: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        free, _ = state
        start, length = span
        taken = start >= free
        return tf.where(taken & (length > 0), start + length, free), taken

    _, taken = tf.scan(step, (places, lengths), (tf.constant(0, tf.int64), tf.constant(False)))
    return taken
