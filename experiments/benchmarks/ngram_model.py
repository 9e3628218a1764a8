"""A trigram model with interpolated Kneser-Ney smoothing, counted by sorting, for tens of millions of words.

`nltk.lm.KneserNeyInterpolated` gives the same probabilities (the tests compare both), but it reads all counts again for
each word that it scores. The Python package of KenLM scores texts and estimates no models.
"""

import array
import collections
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

UNKNOWN, START, END = 0, 1, 2
_FIRST_WORD = 3


class EncodedText(NamedTuple):
    """The sentences of a text as numbers.

    Attributes:
        words: the words, in the order of their ids, which begin with 3.
        ids: two `START`, the words and `END` of each sentence, one sentence after the other, int32 [ids].
    """

    words: list[str]
    ids: np.ndarray

    @classmethod
    def of(cls, sentences: Iterable[Sequence[str]]) -> "EncodedText":
        """Return the encoded sentences, each given as its words."""
        numbers = itertools.count(_FIRST_WORD)
        id_of: dict[str, int] = collections.defaultdict(numbers.__next__)
        ids = array.array("i")
        for words in sentences:
            ids.extend((START, START, *map(id_of.__getitem__, words), END))
        return cls(list(id_of), np.frombuffer(ids, np.int32) if ids else np.zeros(0, np.int32))

    def counts(self) -> dict[str, int]:
        """Return how often each word occurs."""
        counts = np.bincount(self.ids, minlength=_FIRST_WORD + len(self.words))[_FIRST_WORD:]
        return dict(zip(self.words, counts.tolist(), strict=True))


class TrigramModel:
    """The interpolated Kneser-Ney model of Chen and Goodman 1998 for trigrams, with one discount an order.

    Each discount is n1 / (n1 + 2 n2), of the numbers of n-grams with the counts 1 and 2 (Ney, Essen and Kneser 1994).
    Words of fewer than `least_count` occurrences are one class, whose probability is divided by the number of its
    words; words that the text lacks belong to it too.

    Args:
        text: the text to count.
        least_count: the occurrences of a word that has a probability of its own.
        discount: the discount of both orders; None for the estimates.

    Raises:
        ValueError: the text has no sentence, or more than two million words of their own.
    """

    def __init__(self, text: EncodedText, *, least_count: int = 2, discount: float | None = None) -> None:
        if not len(text.ids):
            raise ValueError("`text` must have at least one sentence. Received: none")
        counts = np.bincount(text.ids, minlength=_FIRST_WORD + len(text.words))
        kept = counts >= least_count
        kept[:_FIRST_WORD] = True
        self._size = int(kept.sum())
        if self._size**3 >= 2**63:
            raise ValueError(f"`text` must have fewer than two million words. Received: {self._size}")
        ids = np.where(kept, np.cumsum(kept) - 1, UNKNOWN)
        self._id_of = {word: int(ids[number]) for number, word in enumerate(text.words, _FIRST_WORD) if kept[number]}
        self._num_rare = max(1, int((~kept).sum()))
        keys, found = np.unique(self._keys(*_trigrams(ids[text.ids])), return_counts=True)
        self._trigrams = _Order.of(keys, found, self._size, discount)
        # Lower orders count the different words before an n-gram, not its occurrences.
        keys, found = np.unique(keys % self._size**2, return_counts=True)
        self._bigrams = _Order.of(keys, found, self._size, discount)
        unigrams = np.bincount(keys % self._size, minlength=self._size)
        self._unigrams = unigrams / unigrams.sum()
        self._unigrams[UNKNOWN] = max(self._unigrams[UNKNOWN], 0.5 / unigrams.sum())  # none may be rare

    def log_likelihoods(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """Return the natural logarithm of the probability of each sentence with its end, float64 [sentences]."""
        rows = [[START, START, *(self._id_of.get(word, UNKNOWN) for word in words), END] for words in sentences]
        before, context, word = _trigrams(np.array([number for row in rows for number in row], np.int64))
        low = self._bigrams.probabilities(context, context * self._size + word, self._unigrams[word])
        high = self._trigrams.probabilities(before * self._size + context, self._keys(before, context, word), low)
        values = np.log(high) - np.where(word == UNKNOWN, np.log(self._num_rare), 0.0)
        owners = np.repeat(np.arange(len(rows)), [len(row) - 2 for row in rows])
        return np.bincount(owners, values, minlength=len(rows))

    def _keys(self, before: np.ndarray, context: np.ndarray, word: np.ndarray) -> np.ndarray:
        return (before * self._size + context) * self._size + word


def _trigrams(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the trigrams of encoded sentences that do not end with `START`, as int64 [trigrams] for each place."""
    ends = np.flatnonzero(ids != START)
    wide = ids.astype(np.int64)
    return wide[ends - 2], wide[ends - 1], wide[ends]


class _Order(NamedTuple):
    """The counts of n-grams of one order, whose keys are `context * vocabulary size + word`.

    Attributes:
        keys: the n-grams, ascending, int64 [n-grams].
        counts: their counts.
        contexts: the contexts, ascending, int64 [contexts].
        totals: the sum of the counts of each context.
        distinct: the number of different words after each context.
        discount: what is taken from each count.
    """

    keys: np.ndarray
    counts: np.ndarray
    contexts: np.ndarray
    totals: np.ndarray
    distinct: np.ndarray
    discount: float

    @classmethod
    def of(cls, keys: np.ndarray, counts: np.ndarray, size: int, discount: float | None) -> "_Order":
        """Return the counts of the n-grams `keys`, with the estimate of the discount if it is None."""
        contexts, starts = np.unique(keys // size, return_index=True)
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        estimate = once / (once + 2 * twice) if once else 0.0
        chosen = estimate if discount is None else discount
        distinct = np.diff([*starts, len(keys)])
        return cls(keys, counts, contexts, np.add.reduceat(counts, starts), distinct, chosen)

    def probabilities(self, contexts: np.ndarray, keys: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """Return the probabilities of n-grams, interpolated with those of the next lower order, float64 [n-grams]."""
        places, known = _find(self.contexts, contexts)
        of_keys, seen = _find(self.keys, keys)
        counts = np.where(seen, np.maximum(self.counts[of_keys] - self.discount, 0.0), 0.0)
        found = (counts + self.discount * self.distinct[places] * lower) / self.totals[places]
        return np.where(known, found, lower)


def _find(values: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the place of each wanted number among the ascending `values`, and whether it is there."""
    places = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    return places, values[places] == wanted
