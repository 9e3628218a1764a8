"""Find text that was seen before: exact duplicates by a hash, near-duplicates by runs of words.

Near-duplicates: two texts share a run when the same eight words follow each other in both, letters alone counted (no
case, digits or punctuation). A text most of whose runs are known is a near-duplicate (the shingles of Broder 1997, "On
the resemblance and containment of documents", with containment in everything seen before as the measure).
"""

import hashlib
import re
import zlib
from array import array
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"[^\W\d_]+")
RUN_LENGTH = 8


def normalized_words(text: str) -> list[str]:
    """Return the words of `text` in lower case, without digits and punctuation.

    >>> normalized_words("Adds 2 to `x_1`, in-place.")
    ['adds', 'to', 'x', 'in', 'place']
    """
    return _WORD.findall(text.lower())


def fingerprints(text: str) -> array:
    """Return 32-bit hashes of the runs of eight words in `text`, or of the whole text if it is shorter.

    CRC-32 is stable over processes and Python versions; at a million runs, one in four thousand unseen ones is
    taken for seen, which matters little where half of a text's runs must be seen to drop it.
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
    """A filter that remembers the runs of the texts it admitted, and refuses texts made mostly of them.

    Args:
        max_overlap: the share of a text's runs that may be known already.

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
        """Return whether `text` is new, and remember its runs."""
        return self.admit_fingerprints(fingerprints(text))

    def admit_fingerprints(self, runs: Iterable[int]) -> bool:
        """Do what `admit` does, with `fingerprints` that were computed before, for example in another process."""
        runs = list(runs)
        known = sum(run in self._seen for run in runs)
        if known > self.max_overlap * len(runs):
            return False
        self._seen.update(runs)
        return True


class ExactDuplicateFilter:
    """A filter that refuses a document whose sentences, in their order, were admitted before.

    Remembers 64-bit hashes in open addressing, 10 to 16 bytes a document. Among n different documents about
    n^2 / 2^65 are taken for duplicates by chance: less than one in a hundred runs over 500 million documents drops one.

    >>> duplicates = ExactDuplicateFilter()
    >>> [duplicates.admit(document) for document in (["One.", "Two."], ["Two."], ["One.", "Two."])]
    [True, True, False]
    """

    # Many small tables: one at a time grows, so that growing takes no second copy of everything.
    _TABLES = 256
    _GROWTH = 1.5
    _MAX_LOAD = 0.8

    def __init__(self) -> None:
        self._tables = [array("Q", bytes(8 * 8)) for _ in range(self._TABLES)]
        self._used = [0] * self._TABLES

    def admit(self, document: Sequence[str]) -> bool:
        """Return whether the document is new, and remember it."""
        digest = hashlib.blake2b("\n".join(document).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        # Zero marks an empty place.
        fingerprint = int.from_bytes(digest, "little") or 1
        number = fingerprint % self._TABLES
        table = self._tables[number]
        place = _place(table, fingerprint)
        if table[place] == fingerprint:
            return False
        table[place] = fingerprint
        self._used[number] += 1
        if self._used[number] > self._MAX_LOAD * len(table):
            self._tables[number] = self._grown(table)
        return True

    def num_bytes(self) -> int:
        """Return the bytes of memory that the hashes take."""
        return sum(table.itemsize * len(table) for table in self._tables)

    def _grown(self, table: array) -> array:
        larger = array("Q", bytes(8 * int(len(table) * self._GROWTH)))
        for fingerprint in filter(None, table):
            larger[_place(larger, fingerprint)] = fingerprint
        return larger


def _place(table: array, fingerprint: int) -> int:
    """Return the index of the hash in the table, or of the empty entry for it; a table has at least one such entry."""
    place = (fingerprint >> 8) % len(table)
    while table[place] and table[place] != fingerprint:
        place = (place + 1) % len(table)
    return place
