"""Tables of code points for graph operations, made from the Python tokenizer's own functions.

Axes: B texts, C characters of all texts.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

NUM_CODE_POINTS = 0x110000
_PAGE = 256


class Characters(NamedTuple):
    """The characters of several texts, one text after the other.

    Attributes:
        codes: int32 [C], code points.
        splits: int64 [B + 1], the indices at which texts begin and end.
        sources: int64 [C], the index of the character that each was made from, in the characters before the change.
    """

    codes: tf.Tensor
    splits: tf.Tensor
    sources: tf.Tensor


class Text(NamedTuple):
    """The characters of several texts, one text after the other, with the part of the original that each came from.

    Attributes:
        codes: int32 [C], code points.
        splits: int64 [B + 1], the indices at which texts begin and end.
        starts: int64 [C], the index in the original texts of the first character that each came from.
        ends: int64 [C], the index after the last one.
    """

    codes: tf.Tensor
    splits: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor

    def row_starts(self) -> tf.Tensor:
        """Return the number of texts that start at each character, int64 [C]; several where texts are empty."""
        return row_starts(self.codes, self.splits)

    def changed(self, characters: Characters) -> "Text":
        """Return the characters made from these."""
        starts, ends = tf.gather(self.starts, characters.sources), tf.gather(self.ends, characters.sources)
        return Text(characters.codes, characters.splits, starts, ends)

    def without(self, dropped: tf.Tensor) -> "Text":
        """Return the characters where `dropped`, bool [C], is False."""
        kept_before = tf.concat([[0], tf.cumsum(tf.cast(~dropped, tf.int64))], axis=0)
        codes, starts, ends = (tf.boolean_mask(values, ~dropped) for values in (self.codes, self.starts, self.ends))
        return Text(codes, tf.gather(kept_before, self.splits), starts, ends)


def row_starts(codes: tf.Tensor, splits: tf.Tensor) -> tf.Tensor:
    """Return the number of texts that start at each character, int64 [C]; several where texts are empty."""
    starts = tf.math.bincount(tf.cast(splits[:-1], tf.int32), minlength=tf.size(codes) + 1, dtype=tf.int64)
    return starts[: tf.size(codes)]


class PagedTable(tf.Module):
    """An integer for each code point. Most pages of 256 are equal, and equal pages are stored once."""

    def __init__(self, values: np.ndarray):
        super().__init__()
        numbers: dict[bytes, int] = {}
        page_of = [numbers.setdefault(page.tobytes(), len(numbers)) for page in values.reshape(-1, _PAGE)]
        pages = np.frombuffer(b"".join(numbers), values.dtype)
        self._first = tf.constant(np.array(page_of) * _PAGE, tf.int32)
        self._values = tf.constant(pages, tf.int32)

    @classmethod
    def of_bytes(cls, values: bytes) -> "PagedTable":
        """Return the table of one of the byte strings of `unicode_tables`."""
        return cls(np.frombuffer(values, np.uint8).astype(np.int32))

    @classmethod
    def of_characters(cls, characters: Iterable[str]) -> "PagedTable":
        """Return a table with 1 for `characters` and 0 for all others."""
        flags = np.zeros(NUM_CODE_POINTS, np.int32)
        flags[[ord(character) for character in characters]] = 1
        return cls(flags)

    def __call__(self, codes: tf.Tensor) -> tf.Tensor:
        """Return the integers of `codes`, int32, in the shape of `codes`."""
        return tf.gather(self._values, tf.gather(self._first, codes // _PAGE) + codes % _PAGE)


class Expansion(tf.Module):
    """The replacement of code points by strings of any length. Most code points stay as they are."""

    def __init__(self, replacement: Callable[[str], str], characters: Iterable[str]):
        super().__init__()
        # In a row, -1 means the code point itself, so that ideographs and punctuation share one row: (" ", -1, " ").
        row_numbers: dict[tuple[int, ...], int] = {(-1,): 0}
        row_of = np.zeros(NUM_CODE_POINTS, np.int32)
        for character in characters:
            row = tuple(-1 if part == character else ord(part) for part in replacement(character))
            row_of[ord(character)] = row_numbers.setdefault(row, len(row_numbers))
        rows = list(row_numbers)
        self._index = PagedTable(row_of)
        self._lengths = tf.constant([len(row) for row in rows], tf.int64)
        self._starts = tf.constant(np.cumsum([0, *map(len, rows[:-1])]), tf.int64)
        self._flat = tf.constant([code for row in rows for code in row], tf.int32)

    def __call__(self, codes: tf.Tensor, splits: tf.Tensor) -> Characters:
        """Return the replaced characters of `codes` [C], in texts with the boundaries `splits` [B + 1]."""
        index = self._index(codes)
        lengths = tf.gather(self._lengths, index)
        ends = tf.concat([[tf.constant(0, tf.int64)], tf.cumsum(lengths)], axis=0)
        sources = tf.repeat(tf.range(tf.size(codes, tf.int64)), lengths)
        within = tf.range(ends[-1]) - tf.gather(ends, sources)
        replaced = tf.gather(self._flat, tf.gather(tf.gather(self._starts, index), sources) + within)
        return Characters(tf.where(replaced < 0, tf.gather(codes, sources), replaced), tf.gather(ends, splits), sources)
