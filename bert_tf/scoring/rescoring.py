"""The re-scoring of n-best lists: word and character errors, and the weights of a language model that reduce them.

A hypothesis has the total `score + likelihood weight * log-likelihood + length weight * number of tokens`, and the one
with the largest total wins.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_ROUNDS = 10


class Weights(NamedTuple):
    """The weights of a hypothesis's log-likelihood and of its number of tokens."""

    likelihood: float = 0.0
    length: float = 0.0


class Candidates(NamedTuple):
    """The hypotheses of one list as numbers, each float64 or int64 [hypotheses].

    Attributes:
        scores: the scores of the first pass.
        likelihoods: the log-likelihoods.
        lengths: the numbers of tokens.
        errors: the numbers of errors, if the reference is known, which `best_weights` and `num_errors` need.
    """

    scores: np.ndarray
    likelihoods: np.ndarray
    lengths: np.ndarray
    errors: np.ndarray | None = None

    def totals(self, weights: Weights) -> np.ndarray:
        """Return the total of each hypothesis."""
        return self.scores + weights.likelihood * self.likelihoods + weights.length * self.lengths


def errors_of(reference: str, hypotheses: Sequence[str], *, characters: bool = False) -> tuple[np.ndarray, int]:
    """Return the errors of each hypothesis: substitutions, deletions and insertions of words, as jiwer counts them.

    Args:
        reference: the right text, which may be empty.
        hypotheses: the hypotheses.
        characters: whether to count characters, spaces included, instead of words.

    Returns:
        The numbers of errors, int64 [hypotheses], and the number of words or characters of the reference.

    Raises:
        ImportError: jiwer is not installed.
    """
    require_jiwer()
    import jiwer

    process = jiwer.process_characters if characters else jiwer.process_words
    found = [process(reference, hypothesis) for hypothesis in hypotheses]
    errors = np.array([one.substitutions + one.deletions + one.insertions for one in found], np.int64)
    length = found[0].hits + found[0].substitutions + found[0].deletions
    return errors, length


def require_jiwer() -> None:
    """Raise an ImportError that says how to install jiwer, if it is missing."""
    try:
        import jiwer  # noqa: F401
    except ImportError as error:
        raise ImportError(f"error rates need jiwer: pip install 'bert_tf[rescore]'. Received: {error}") from None


def num_errors(lists: Sequence[Candidates], weights: Weights) -> int:
    """Return the errors of the hypotheses that win with these weights. Of equal totals, the first one wins."""
    total = 0
    for candidates in lists:
        assert candidates.errors is not None
        total += int(candidates.errors[np.argmax(candidates.totals(weights))])
    return total


def best_weights(
    lists: Sequence[Candidates], *, likelihood: float | None = None, length: float | None = None
) -> Weights:
    """Return the weights with the fewest errors, by exact searches along each weight in turn.

    Along one weight the number of errors is constant between the points where a list's winner changes, so all its
    values are found (Och 2003, "Minimum Error Rate Training in Statistical Machine Translation", section 5). The
    searches begin at zero, go on until none of them reduces the errors, and change a weight only where that does.

    Args:
        lists: the lists of a development set.
        likelihood: a fixed weight of the log-likelihoods; None to search for it, at 0 or above.
        length: a fixed weight of the lengths; None to search for it.
    """
    weights = Weights(likelihood or 0.0, length or 0.0)
    searched = [name for name, fixed in zip(Weights._fields, (likelihood, length), strict=True) if fixed is None]
    errors = num_errors(lists, weights)
    for _ in range(_ROUNDS):
        before = errors
        for name in searched:
            others = weights._replace(**{name: 0.0})
            value = _best_along(name, [one.totals(others) for one in lists], lists)
            candidate = weights._replace(**{name: value})
            found = num_errors(lists, candidate)
            if found < errors:
                weights, errors = candidate, found
        if errors == before:
            break
    return weights


def _best_along(name: str, offsets: Sequence[np.ndarray], lists: Sequence[Candidates]) -> float:
    """Return a value of one weight with the fewest errors: the middle of the widest such interval, for its size.

    Args:
        name: the field of `Weights`. The likelihood's weight is at least 0.
        offsets: the totals without this weight, float64 [hypotheses] for each list.
        lists: the lists.
    """
    low = 0.0 if name == "likelihood" else -np.inf
    changes: dict[float, int] = {}
    errors = 0
    for offset, candidates in zip(offsets, lists, strict=True):
        assert candidates.errors is not None
        slopes = candidates.likelihoods if name == "likelihood" else candidates.lengths
        winners = _winners(offset, slopes, low)
        errors += int(candidates.errors[winners[0][1]])
        for (_, before), (start, after) in itertools.pairwise(winners):
            changes[start] = changes.get(start, 0) + int(candidates.errors[after] - candidates.errors[before])
    if not changes:
        return 0.0
    starts = sorted(changes)
    counts = errors + np.cumsum([0, *(changes[start] for start in starts)])
    first = starts[0] - max(1.0, abs(starts[0])) if np.isinf(low) else low
    edges = np.array([first, *starts, starts[-1] + max(1.0, abs(starts[-1]))])
    widths = np.diff(edges) / (np.abs(edges[1:]) + np.abs(edges[:-1]))
    best = int(np.lexsort((-widths, counts))[0])
    return float(edges[best] + edges[best + 1]) / 2.0


def _winners(offsets: np.ndarray, slopes: np.ndarray, low: float) -> list[tuple[float, int]]:
    """Return the upper envelope of the lines `offset + weight * slope` from `low` on.

    Returns:
        Pairs of the weight from which a line is the highest, ascending and beginning with `low`, and the line's index.
    """
    order = np.lexsort((-np.arange(len(offsets)), offsets, slopes))
    hull: list[tuple[float, int]] = []
    for index in order.tolist():
        start = -np.inf
        while hull:
            since, other = hull[-1]
            if slopes[index] == slopes[other]:  # the later one is at least as high everywhere
                hull.pop()
                continue
            start = (offsets[other] - offsets[index]) / (slopes[index] - slopes[other])
            if start > since:
                break
            hull.pop()
        hull.append((float(start) if hull else -np.inf, index))
    first = max(number for number, (start, _) in enumerate(hull) if start <= low)
    return [(low, hull[first][1]), *hull[first + 1 :]]
