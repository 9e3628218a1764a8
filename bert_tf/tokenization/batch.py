"""WordPiece for many texts at once: NumPy finds and looks up the words of a whole batch of texts.

Plain Python spends most of its time on making an object for each word. Here a batch is one buffer of bytes, and a word
is a pair of offsets into it; only a word that the table does not know becomes an object.
"""

import itertools
import threading
from collections.abc import Callable, Sequence

import numpy as np

# Characters in a batch, so that its arrays fit into a processor's second-level cache.
_BATCH_CHARACTERS = 1 << 16

# The limits of the table of words, which is kept for the next batch. A full table is emptied: a few pages of text bring
# the frequent words back.
_MAX_WORDS = 1 << 19
_MAX_WORD_BYTES = 1 << 24

# Words of up to 16 bytes are compared as two 64-bit numbers, in a table of 2^18 slots.
_KEY_BYTES = 16
_SLOT_BITS = 18
# The fractional part of the golden ratio, as in Knuth, "The Art of Computer Programming", 6.4: multiplicative hashing.
_HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
# The bits that n bytes of a little-endian number fill, n = 0 to 8.
_BYTE_MASKS = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)

_SPACE, _LETTER, _PUNCTUATION, _END = range(4)


def _class_of(byte: int) -> int:
    if byte >= 0x80 or chr(byte).isalnum():
        return _LETTER
    return {" ": _SPACE, "\n": _END}.get(chr(byte), _PUNCTUATION)


_BYTE_CLASSES = bytes(map(_class_of, range(256)))


class BatchEncoder:
    """An encoder of many texts that gives exactly the ids of one text at a time.

    The ids are the same for these reasons. `fold` returns text whose words are found by cutting at spaces and around
    ASCII punctuation; printable ASCII is such text already, apart from its case. No folded text holds NUL or LF, so LF
    can end each text. Bytes from 0x80 on are parts of letters, because `fold` puts spaces around all other punctuation
    and around ideographs. A word is looked up by all of its bytes: up to 16 bytes, filled up with zeros, are two
    numbers that are compared whole; a longer word, or one whose slot is taken, is looked up in a dictionary. The
    tokens of a word depend on the word alone.

    Args:
        fold: returns a text with the same words, set off by spaces; ASCII punctuation need not be set off.
        lower_case: whether ASCII letters are lower-cased.
        tokens: returns the ids of a word's tokens.
    """

    def __init__(self, fold: Callable[[str], str], lower_case: bool, tokens: Callable[[str], Sequence[int]]) -> None:
        self._fold = fold
        self._lower_case = lower_case
        self._tokens = tokens
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        # The ids of word number w are `_ids[_starts[w]:][:_lengths[w]]`.
        self._numbers: dict[bytes, int] = {}
        self._word_bytes = 0
        self._starts = np.zeros(0, np.int64)
        self._lengths = np.zeros(0, np.int64)
        self._ids = np.zeros(0, np.int32)
        # A slot holds the two halves of a word, and its number; the number of a free slot is -1.
        self._low = np.zeros(1 << _SLOT_BITS, np.uint64)
        self._high = np.zeros(1 << _SLOT_BITS, np.uint64)
        self._slots = np.full(1 << _SLOT_BITS, -1, np.int32)
        self._add([b"\n"], [()])  # the end of a text counts as a word without tokens

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of all texts in a row, int32 [all ids], and the number of ids of each, int64 [texts]."""
        ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
        cuts = [0, *(np.flatnonzero(np.diff(ends // _BATCH_CHARACTERS)) + 1).tolist(), len(texts)]
        ids, lengths = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
        for first, end in itertools.pairwise(cuts):
            if first < end:
                with self._lock:  # a word that another thread adds or clears would move the tables
                    batch_ids, batch_lengths = self._encode_batch(texts[first:end])
                ids.append(batch_ids)
                lengths.append(batch_lengths)
        return np.concatenate(ids), np.concatenate(lengths)

    def _encode_batch(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        # For ASCII `isprintable` is the same in every Python.
        folded = [text if text.isascii() and text.isprintable() else self._fold(text) for text in texts]
        folded.append("")  # so that LF ends the last text too
        data = "\n".join(folded).encode("utf-8", "surrogatepass")
        if self._lower_case:
            data = data.lower()
        classes = np.frombuffer(data.translate(_BYTE_CLASSES), np.uint8)
        starts, ends = _word_spans(classes)
        numbers = self._word_numbers(data, starts, ends)

        lengths = self._lengths[numbers]
        token_ends = np.cumsum(lengths)
        # Token p of the batch, in word w, is `p - (first token of w)` after the first id of w.
        shifts = self._starts[numbers] - (token_ends - lengths)
        ids = self._ids[np.repeat(shifts, lengths) + np.arange(token_ends[-1])]
        text_ends = token_ends[classes[starts] == _END]
        return ids, np.diff(text_ends, prepend=0)

    def _word_numbers(self, data: bytes, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return the number of each word of `data`; new words get numbers."""
        low, high = _keys(data, starts, ends - starts)
        slots = _slots(low, high)
        numbers = self._slots[slots]
        hit = (self._low[slots] == low) & (self._high[slots] == high) & (ends - starts <= _KEY_BYTES) & (numbers >= 0)
        missed = np.flatnonzero(~hit)
        if len(missed):
            words = [data[start:end] for start, end in zip(starts[missed].tolist(), ends[missed].tolist(), strict=True)]
            new = dict.fromkeys(word for word in words if word not in self._numbers)
            if new and (len(self._numbers) > _MAX_WORDS or self._word_bytes > _MAX_WORD_BYTES):
                self._clear()
                return self._word_numbers(data, starts, ends)
            if new:
                self._add(list(new), [self._tokens(word.decode("utf-8", "surrogatepass")) for word in new])
            numbers[missed] = [self._numbers[word] for word in words]
        return numbers

    def _add(self, words: list[bytes], tokens: list[Sequence[int]]) -> None:
        first = len(self._numbers)
        self._numbers.update(zip(words, range(first, first + len(words)), strict=True))
        self._word_bytes += sum(map(len, words))
        lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
        self._starts = np.concatenate((self._starts, len(self._ids) + np.cumsum(lengths) - lengths))
        self._lengths = np.concatenate((self._lengths, lengths))
        self._ids = np.concatenate((self._ids, np.array([index for ids in tokens for index in ids], np.int32)))

        # Free slots go to the words that come first, which are mostly the frequent ones.
        short = [word for word in words if len(word) <= _KEY_BYTES]
        keys = np.array(short, f"S{_KEY_BYTES}").view("<u8").reshape(-1, 2)
        numbers = np.fromiter(map(self._numbers.__getitem__, short), np.int32, len(short))
        slots = _slots(keys[:, 0], keys[:, 1])
        free = self._slots[slots] < 0
        slots, keys, numbers = slots[free], keys[free], numbers[free]
        self._slots[slots] = numbers
        won = self._slots[slots] == numbers  # of two new words for the same slot, one gets it
        self._low[slots[won]], self._high[slots[won]] = keys[won].T


def _word_spans(classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the starts and ends of the words; the LF after each text is one of them."""
    changes = np.ones(len(classes), np.bool_)
    np.not_equal(classes[1:], classes[:-1], out=changes[1:])
    changes |= classes >= _PUNCTUATION  # each is a word of its own
    bounds = np.append(np.flatnonzero(changes), len(classes))
    words = np.flatnonzero(classes[bounds[:-1]])
    return bounds[words], bounds[words + 1]


def _keys(data: bytes, starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and second eight bytes of each word as numbers, filled up with zeros."""
    # Overlapping numbers, one at every byte of the data.
    windows = np.ndarray((len(data) + 8,), "<u8", data + bytes(_KEY_BYTES), strides=(1,))
    low = windows[starts] & _BYTE_MASKS[np.minimum(lengths, 8)]
    high = windows[starts + 8] & _BYTE_MASKS[np.clip(lengths - 8, 0, 8)]
    return low, high


def _slots(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    mixed = (low * _HASH_FACTOR ^ high) * _HASH_FACTOR
    return (mixed >> np.uint64(64 - _SLOT_BITS)).astype(np.int64)
