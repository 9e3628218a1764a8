"""Filters of text that was seen before: exact duplicates by a hash, near-duplicates by runs of words.

A run is eight words that follow each other, compared without case, digits and punctuation. A text is a near-duplicate
if most of its runs occurred in earlier texts. Runs are the shingles of Broder 1997, "On the resemblance and containment
of documents"; the measure is containment in everything seen before.
"""

import hashlib
import re
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence

RUN_LENGTH = 8
"""The number of words in a run."""

_WORD = re.compile(r"[^\W\d_]+")


def normalized_words(text: str) -> list[str]:
    """Return the words of `text` in lower case, without digits and punctuation.

    >>> normalized_words("Adds 2 to `x_1`, in-place.")
    ['adds', 'to', 'x', 'in', 'place']
    """
    return _WORD.findall(text.lower())


def fingerprints(text: str) -> array:
    """Return 32-bit hashes of the runs of eight words in `text`, or of the whole text if it is shorter.

    CRC-32 gives the same values in every process and Python version. With a million known runs, one new run in four
    thousand is taken for a known one. This matters little, since a text is dropped for a large share of known runs.
    """
    words = normalized_words(text)
    return array(
        "I",
        (
            zlib.crc32(" ".join(words[start : start + RUN_LENGTH]).encode())
            for start in range(max(1, len(words) - RUN_LENGTH + 1))
        ),
    )


class NearDuplicateFilter:
    """A filter that remembers the runs of the texts that it admitted, and refuses texts that mostly repeat them.

    Args:
        max_overlap: the largest share of known runs in a text that is admitted.

    >>> duplicates = NearDuplicateFilter()
    >>> duplicates.admit("Returns the number of items in the given container, 1 by 1.")
    True
    >>> duplicates.admit("returns the number of items in the given container, 2 by 2!")
    False
    """

    def __init__(self, max_overlap: float = 0.5):
        self.max_overlap = max_overlap
        self._seen: set[int] = set()

    def admit(self, text: str) -> bool:
        """Return whether `text` is new, and remember its runs if it is."""
        return self.admit_fingerprints(fingerprints(text))

    def admit_fingerprints(self, runs: Iterable[int]) -> bool:
        """Return whether a text is new, given its `fingerprints`, and remember them if it is.

        Args:
            runs: the fingerprints of the text, which another process may have computed.
        """
        runs = list(runs)
        known = sum(run in self._seen for run in runs)
        if known > self.max_overlap * len(runs):
            return False
        self._seen.update(runs)
        return True


class ExactDuplicateFilter:
    """A filter that refuses a document if one with the same sentences in the same order was admitted before.

    It remembers 64-bit hashes in tables with open addressing, 10 to 16 bytes a document. Among n different documents,
    about n^2 / 2^65 are taken for duplicates by chance: of a hundred runs over 500 million documents, less than one
    loses a document.

    >>> duplicates = ExactDuplicateFilter()
    >>> [duplicates.admit(document) for document in (["One.", "Two."], ["Two."], ["One.", "Two."])]
    [True, True, False]
    """

    # With many small tables, growth copies one small table at a time instead of all hashes.
    _TABLES = 256
    _GROWTH = 1.5
    _MAX_LOAD = 0.8

    def __init__(self) -> None:
        self._tables = [array("Q", bytes(8 * 8)) for _ in range(self._TABLES)]
        self._used = [0] * self._TABLES

    def admit(self, document: Sequence[str]) -> bool:
        """Return whether the document is new, and remember it if it is."""
        return self.admit_fingerprint(document_fingerprint(document))

    def admit_fingerprint(self, fingerprint: int) -> bool:
        """Return whether the document with this `document_fingerprint` is new, and remember it if it is."""
        number = fingerprint % self._TABLES
        table = self._tables[number]
        index = _index_of(fingerprint, table)
        if table[index] == fingerprint:
            return False
        table[index] = fingerprint
        self._used[number] += 1
        if self._used[number] > self._MAX_LOAD * len(table):
            self._tables[number] = self._grown(table)
        return True

    def judged(self, documents: Iterable[Sequence[str]]) -> Iterator[tuple[Sequence[str], bool]]:
        """Yield each document, and whether it is new."""
        for document in documents:
            yield document, self.admit(document)

    def num_bytes(self) -> int:
        """Return the memory that the hashes take, in bytes."""
        return sum(table.itemsize * len(table) for table in self._tables)

    def _grown(self, table: array) -> array:
        larger = array("Q", bytes(8 * int(len(table) * self._GROWTH)))
        for fingerprint in filter(None, table):
            larger[_index_of(fingerprint, larger)] = fingerprint
        return larger


def document_fingerprint(document: Sequence[str]) -> int:
    """Return a hash of a document of 64 bits, which is never 0, because that marks an empty entry of a table."""
    digest = hashlib.blake2b("\n".join(document).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def _index_of(fingerprint: int, table: array) -> int:
    """Return the index of the hash in the table, or of the empty entry for it. Every table has an empty entry."""
    index = (fingerprint >> 8) % len(table)
    while table[index] and table[index] != fingerprint:
        index = (index + 1) % len(table)
    return index
