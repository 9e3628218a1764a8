"""A filter of near-duplicate documents for corpora of any size.

documents -> sketches (in several processes) -> the set of known runs -> whether each document is new

Runs of eight words are compared, as in `deduplication.NearDuplicateFilter`, but of each document only a sketch: the
`SKETCH_SIZE` runs with the smallest hashes (Broder 1997, "On the resemblance and containment of documents", section 4).
Equal runs have equal hashes, so the sketches of similar documents hold the same runs. A document is a near-duplicate
if most of its sketch occurred in the sketches of earlier documents.
"""

import collections
import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from bert_tf.tokenization import unicode_tables as ucd
from bert_tf.utils.processes import ordered_map
from data_pipelines.corpora.deduplication import RUN_LENGTH
from data_pipelines.corpora.documents import Document, in_groups, num_characters

Item = TypeVar("Item")

SKETCH_SIZE = 32
"""The largest number of runs in a sketch."""
MAX_CHARACTERS = 1 << 20
"""The number of characters, from the start of a document, that its sketch describes; it bounds the memory."""

# The approximate number of characters that a process receives at a time.
_GROUP_CHARACTERS = 1 << 20
_SEPARATOR, _LETTER, _IDEOGRAPH = range(3)
# The blocks of BERT's ideographs, and the scripts of Japan and South East Asia, which leave no spaces between words.
_UNSPACED = (
    *((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2FA1F)),
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF)),
)
_MULTIPLIERS = np.cumprod(np.full(64, 0x9E3779B97F4A7C15, np.uint64))  # powers of an odd number, modulo 2^64


class NearDuplicateDocumentFilter:
    """A filter that refuses a document if most of its sketch occurred in the sketches of admitted documents.

    It remembers 36 bits of the hash of each run, in at most 240 bytes a document. Among a hundred million documents,
    one run in twenty is taken for a known one by chance, which does not decide about a document.

    Args:
        max_overlap: the largest share of known runs in the sketch of a document that is admitted. At 0.5, documents of
            like length are near-duplicates if about one word in twelve differs, or fewer.
        num_workers: the number of processes that compute sketches; 0 for one a core. It does not change the answers.

    >>> duplicates = NearDuplicateDocumentFilter()
    >>> first = ["Returns the number of items in the container.", "Raises an error if it is closed."]
    >>> [new for _, new in duplicates.judged([first, ["1.", *first], ["Adds one item."]])]
    [True, False, True]
    """

    def __init__(self, max_overlap: float = 0.5, num_workers: int = 1) -> None:
        self.max_overlap = max_overlap
        self._num_workers = num_workers
        self._known = RunSet()

    def judged(self, documents: Iterable[Document]) -> Iterator[tuple[Document, bool]]:
        """Yield each document, and whether it is new. Memory holds a few groups of documents for each process."""
        waiting: collections.deque[list[Document]] = collections.deque()

        def texts() -> Iterator[list[str]]:
            for group in in_groups(documents, num_characters, _GROUP_CHARACTERS):
                waiting.append(group)
                yield ["\n".join(document)[:MAX_CHARACTERS] for document in group]

        with contextlib.closing(ordered_map(sketches, texts(), self._num_workers)) as groups:
            for group in groups:
                yield from zip(waiting.popleft(), self._judge(group), strict=True)

    def judged_by_sketch(
        self, items: Iterable[Item], sketch_of: Callable[[Item], np.ndarray], characters_of: Callable[[Item], int]
    ) -> Iterator[tuple[Item, bool]]:
        """Yield each item, and whether the document that it stands for is new. The answers are those of `judged`.

        Args:
            items: what stands for the documents, in their order.
            sketch_of: returns a document's sketch (`sketches`).
            characters_of: returns a document's number of characters.
        """
        for group in in_groups(items, characters_of, _GROUP_CHARACTERS):
            yield from zip(group, self._judge(list(map(sketch_of, group))), strict=True)

    def num_bytes(self) -> int:
        """Return the memory that the hashes take, in bytes."""
        return self._known.num_bytes()

    def _judge(self, group: Sequence[np.ndarray]) -> list[bool]:
        """Return whether the documents of these sketches are new, and remember those that are.

        The known runs are looked up for all sketches at once, and those of the same group in a set.
        """
        known_before = iter(self._known.holds(np.concatenate(group)).tolist())
        added: set[int] = set()
        answers = []
        for runs in map(np.ndarray.tolist, group):
            known = sum([before or run in added for run, before in zip(runs, known_before, strict=False)])
            answers.append(known <= self.max_overlap * len(runs))
            if answers[-1]:
                added.update(runs)
        self._known.add(np.fromiter(added, np.uint64, len(added)))
        return answers


class RunSet:
    """A set of 64-bit hashes that is asked for many at once, and keeps 36 bits of each.

    Sixteen tables hold 32 bits an entry, in buckets of sixteen. An entry is in its bucket, or, if that is full, in the
    next one that is not. One table grows at a time, so that growing takes little memory. An entry takes 5 to 7.5 bytes.
    """

    _TABLES = 16
    _GROWTH = 1.5
    _MAX_LOAD = 0.8

    def __init__(self) -> None:
        self._tables = [np.zeros((64, 16), np.uint32) for _ in range(self._TABLES)]
        self._used = [0] * self._TABLES

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Return which of the hashes, uint64 [N], are in the set, as bool [N]."""
        found = np.zeros(len(values), bool)
        for number, chosen in enumerate(self._by_table(values)):
            found[chosen] = _find(self._tables[number], _entries(values[chosen]))
        return found

    def add(self, values: np.ndarray) -> None:
        """Add hashes, uint64 [N]."""
        for number, chosen in enumerate(self._by_table(values)):
            table = self._tables[number]
            entries = np.unique(_entries(values[chosen]))
            entries = entries[~_find(table, entries)]
            self._used[number] += len(entries)
            if self._used[number] > self._MAX_LOAD * table.size:
                least = self._used[number] / self._MAX_LOAD / table.shape[1]
                larger = np.zeros((int(max(least + 1, len(table) * self._GROWTH)), table.shape[1]), np.uint32)
                _insert(larger, table[table != 0])
                self._tables[number] = table = larger
            _insert(table, entries)

    def num_bytes(self) -> int:
        """Return the memory of the tables, in bytes."""
        return sum(table.nbytes for table in self._tables)

    def _by_table(self, values: np.ndarray) -> list[np.ndarray]:
        """Return the indices of the hashes that belong to each table, by their last bits."""
        numbers = (values % np.uint64(self._TABLES)).astype(np.uint8)
        return np.split(
            np.argsort(numbers, kind="stable"), np.cumsum(np.bincount(numbers, minlength=self._TABLES))[:-1]
        )


def _entries(values: np.ndarray) -> np.ndarray:
    """Return 32 bits of each hash, but 1 instead of 0, which marks an empty entry.

    They are lower bits, since the leading bits of the smallest hashes of a document are nearly all zero.
    """
    return np.maximum((values >> np.uint64(4)).astype(np.uint32), 1)


def _buckets(table: np.ndarray, entries: np.ndarray) -> np.ndarray:
    return ((entries.astype(np.uint64) * np.uint64(len(table))) >> np.uint64(32)).astype(np.int64)


def _find(table: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """Return which of the entries, uint32 [N], are in the table, uint32 [buckets, 16], as bool [N]."""
    found = np.zeros(len(entries), bool)
    buckets = _buckets(table, entries)
    waiting = np.arange(len(entries))
    while len(waiting):
        rows = table[buckets[waiting]]
        found[waiting] = (rows == entries[waiting, None]).any(1)
        waiting = waiting[~found[waiting] & (rows[:, -1] != 0)]  # buckets are filled from the left
        buckets[waiting] = (buckets[waiting] + 1) % len(table)
    return found


def _insert(table: np.ndarray, entries: np.ndarray) -> None:
    """Insert entries that differ and are not in the table. It must have room for them."""
    buckets = _buckets(table, entries)
    while len(entries):
        order = np.argsort(buckets, kind="stable")
        buckets, entries = buckets[order], entries[order]
        firsts = np.flatnonzero(np.diff(buckets, prepend=-1))
        rows = buckets[firsts]
        numbers = np.diff(firsts, append=len(buckets))
        # The n-th entry of a bucket goes n places after those that are there.
        places = np.arange(len(buckets)) + np.repeat((table[rows] != 0).sum(1) - firsts, numbers)
        fits = places < table.shape[1]
        table[buckets[fits], places[fits]] = entries[fits]
        buckets, entries = (buckets[~fits] + 1) % len(table), entries[~fits]


def sketches(texts: Sequence[str]) -> list[np.ndarray]:
    """Return the sketch of each text: uint64 hashes of at most `SKETCH_SIZE` of its runs, in ascending order.

    A text of fewer than eight words has one run, all its words. A text without words has one run too, its characters.
    The values are the same in every process and on every machine.
    """
    texts = [text[:MAX_CHARACTERS].lower() for text in texts]
    words, starts = _word_hashes("\n".join(texts))
    ends = np.searchsorted(starts, np.cumsum([len(text) + 1 for text in texts])).tolist()
    runs = _run_hashes(words)
    found = []
    for text, first, end in zip(texts, [0, *ends], ends, strict=False):
        if end - first >= RUN_LENGTH:
            found.append(_smallest(runs[first : end - RUN_LENGTH + 1]))
        elif end > first:
            padding = np.zeros(RUN_LENGTH - (end - first), np.uint64)
            found.append(_run_hashes(np.concatenate([words[first:end], padding])))
        else:
            digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            found.append(np.frombuffer(digest, "<u8"))
    return found


def _smallest(runs: np.ndarray) -> np.ndarray:
    """Return at most `SKETCH_SIZE` of the smallest different values, sorted."""
    runs = np.sort(runs)
    return runs[np.append(True, runs[1:] != runs[:-1])][:SKETCH_SIZE]


@functools.cache
def _kinds() -> np.ndarray:
    """Return uint8 [number of code points]: which characters are letters, and which of these are words of their own."""
    words = np.frombuffer(ucd.WORD_CHARACTER, np.uint8) != 0
    marks = np.frombuffer(ucd.CHARACTER_CLASS, np.uint8) == ucd.NONSPACING_MARK
    kinds = np.where(words | marks, _LETTER, _SEPARATOR).astype(np.uint8)
    for first, last in _UNSPACED:
        block = kinds[first : last + 1]
        block[block == _LETTER] = _IDEOGRAPH
    kinds[[*range(ord("0"), ord("9") + 1), ord("_")]] = _SEPARATOR
    return kinds


def _word_hashes(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a hash of each word, uint64 [W], and where it starts in the text, int64 [W].

    The hash is a polynomial of the hashed characters, summed for all words at once.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    kinds = _kinds()[codes]
    positions = np.flatnonzero(kinds)
    if not len(positions):
        return np.zeros(0, np.uint64), positions
    begins = kinds == _IDEOGRAPH
    begins[0] |= kinds[0] == _LETTER
    begins[1:] |= (kinds[1:] == _LETTER) & (kinds[:-1] != _LETTER)
    first = np.flatnonzero(begins[positions])
    lengths = np.diff(first, append=len(positions))
    offsets = np.arange(len(positions)) - np.repeat(first, lengths)
    letters = _mixed(codes[positions].astype(np.uint64)) * _MULTIPLIERS[np.minimum(offsets, len(_MULTIPLIERS) - 1)]
    return np.add.reduceat(letters, first), positions[first]


def _run_hashes(words: np.ndarray) -> np.ndarray:
    """Return the hash of the run that starts at each word, uint64 [W - 7], from the hashes of words, uint64 [W]."""
    runs = np.zeros(max(0, len(words) - RUN_LENGTH + 1), np.uint64)
    mixed = _mixed(words)
    for offset in range(RUN_LENGTH if len(runs) else 0):
        runs += mixed[offset : offset + len(runs)] * _MULTIPLIERS[offset]
    return _mixed(runs)


def _mixed(values: np.ndarray) -> np.ndarray:
    """Return uint64 values that differ in all bits where the given ones differ in one (MurmurHash3's finalizer)."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))
