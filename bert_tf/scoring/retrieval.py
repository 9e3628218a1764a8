"""Scores of retrieval: where the passages that answer a query stand among all passages.

Axes: Q queries, P passages, D the vectors' size.
"""

import math
from collections.abc import Sequence

import numpy as np

_CUTOFF = 10
_SCORES_AT_ONCE = 1 << 24  # 64 MB


def rank(
    queries: np.ndarray, passages: np.ndarray, right: Sequence[Sequence[int]], *, top_k: int
) -> tuple[list[list[int]], list[list[tuple[int, float]]]]:
    """The places of the right passages, and the nearest passages.

    Of two passages that are equally near, the first stands before the other.

    Args:
        queries: float32 [Q, D].
        passages: float32 [P, D].
        right: for each query the numbers of the passages that answer it.
        top_k: how many of the nearest are wanted.

    Returns:
        For each query the ranks of its right passages, ascending, counted from 1; and the numbers of the nearest
        passages with their products with the query, nearest first.
    """
    ranks: list[list[int]] = []
    nearest: list[list[tuple[int, float]]] = []
    at_once = max(1, _SCORES_AT_ONCE // max(1, len(passages)))
    places = np.arange(len(passages))
    count = min(top_k, len(passages))
    for start in range(0, len(queries), at_once):
        for offset, row in enumerate(queries[start : start + at_once] @ passages.T):
            found = []
            for number in right[start + offset]:
                before = (row > row[number]) | ((row == row[number]) & (places < number))
                found.append(1 + int(before.sum()))
            ranks.append(sorted(found))
            nearest.append([(int(number), float(row[number])) for number in _nearest(row, count)])
    return ranks, nearest


def _nearest(row: np.ndarray, count: int) -> np.ndarray:
    """The places of the `count` greatest values, greatest first, the first of equal ones before the others."""
    if not count:
        return np.zeros(0, int)
    least = np.partition(row, len(row) - count)[len(row) - count]
    among = np.flatnonzero(row >= least)
    return among[np.argsort(-row[among], kind="stable")][:count]


def retrieval_scores(ranks: Sequence[Sequence[int]]) -> dict[str, float]:
    """The means over the queries of the measures of MS MARCO and BEIR (Thakur et al. 2021), for binary relevance.

    `mrr_at_10`: 1 / the rank of the first right passage, 0 behind the tenth place. `recall_at_1`, `recall_at_10`: the
    share of the right passages that stand so far in front. `ndcg_at_10`: the sum of 1 / log2(1 + rank) over the right
    passages among the first ten, divided by the greatest there could be (Järvelin and Kekäläinen 2002).

    >>> retrieval_scores([[1], [2], [11]])["mrr_at_10"]
    0.5

    Args:
        ranks: for each query those of its right passages, counted from 1; at least one each.

    Raises:
        ValueError: there is no query.
    """
    if not ranks:
        raise ValueError("there must be at least one query to score. Received: none")

    def recall(places: Sequence[int], cutoff: int) -> float:
        return sum(place <= cutoff for place in places) / len(places)

    def gain(places: Sequence[int]) -> float:
        return math.fsum(1.0 / math.log2(1 + place) for place in places if place <= _CUTOFF)

    def mean(values: Sequence[float]) -> float:
        return math.fsum(values) / len(values)

    first = [min(places) for places in ranks]
    return {
        "mrr_at_10": mean([1.0 / place if place <= _CUTOFF else 0.0 for place in first]),
        "recall_at_1": mean([recall(places, 1) for places in ranks]),
        "recall_at_10": mean([recall(places, _CUTOFF) for places in ranks]),
        "ndcg_at_10": mean([gain(places) / gain(range(1, len(places) + 1)) for places in ranks]),
    }
