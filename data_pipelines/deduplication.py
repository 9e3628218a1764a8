"""Near-duplicates: text that repeats what has been seen, found by its runs of words.

Two texts share a run when the same eight words follow each other in both, letters alone counted (no case, digits
or punctuation). A text most of whose runs are known is a near-duplicate (the shingles of Broder 1997, "On the
resemblance and containment of documents", with containment in everything seen before as the measure).
"""

import re
import zlib
from array import array
from collections.abc import Iterable

_WORD = re.compile(r"[^\W\d_]+")
RUN_LENGTH = 8


def normalized_words(text: str) -> list[str]:
    """The words of `text` in lower case, without digits and punctuation.

    >>> normalized_words("Adds 2 to `x_1`, in-place.")
    ['adds', 'to', 'x', 'in', 'place']
    """
    return _WORD.findall(text.lower())


def fingerprints(text: str) -> array:
    """32-bit hashes of the runs of eight words in `text` (of the whole text where it is shorter).

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
    """Remembers the runs of the texts it let through, and refuses texts made mostly of them.

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
        """Whether `text` is new; its runs are known from then on."""
        return self.admit_fingerprints(fingerprints(text))

    def admit_fingerprints(self, runs: Iterable[int]) -> bool:
        """`admit`, for `fingerprints` that were computed before, in another process for example."""
        runs = list(runs)
        known = sum(run in self._seen for run in runs)
        if known > self.max_overlap * len(runs):
            return False
        self._seen.update(runs)
        return True
