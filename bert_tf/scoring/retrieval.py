"""Metrics of retrieval: the ranks of the passages that answer a query, among all passages.

Axes: Q queries, P passages, D size of the vectors.
"""

import math
from collections.abc import Sequence

import numpy as np

_CUTOFF = 10
_SCORES_AT_ONCE = 1 << 24  # 64 MiB of float32


def rank(
    queries: np.ndarray, passages: np.ndarray, right: Sequence[Sequence[int]], *, top_k: int
) -> tuple[list[list[int]], list[list[tuple[int, float]]]]:
    """Return the ranks of the right passages, and the nearest passages.

    Passages that are equally near keep their order.

    Args:
        queries: float32 [Q, D].
        passages: float32 [P, D].
        right: for each query, the indices of the passages that answer it.
        top_k: number of nearest passages to return.

    Returns:
        For each query, the ranks of its right passages, ascending, counted from 1; and the nearest passages, nearest
        first, each as its index and its product with the query.
    """
    ranks: list[list[int]] = []
    nearest: list[list[tuple[int, float]]] = []
    at_once = max(1, _SCORES_AT_ONCE // max(1, len(passages)))
    indices = np.arange(len(passages))
    count = min(top_k, len(passages))
    for start in range(0, len(queries), at_once):
        for offset, row in enumerate(queries[start : start + at_once] @ passages.T):
            found = []
            for index in right[start + offset]:
                before = (row > row[index]) | ((row == row[index]) & (indices < index))
                found.append(1 + int(before.sum()))
            ranks.append(sorted(found))
            nearest.append([(int(index), float(row[index])) for index in _nearest(row, count)])
    return ranks, nearest


def _nearest(row: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the `count` greatest values, greatest first. Equal values keep their order."""
    if not count:
        return np.zeros(0, int)
    least = np.partition(row, len(row) - count)[len(row) - count]
    candidates = np.flatnonzero(row >= least)
    return candidates[np.argsort(-row[candidates], kind="stable")][:count]


def retrieval_scores(ranks: Sequence[Sequence[int]]) -> dict[str, float]:
    """Return means over the queries of the metrics of MS MARCO and BEIR (Thakur et al. 2021), for binary relevance.

    `mrr_at_10` is 1 / the rank of the first right passage, and 0 if that rank exceeds 10. `recall_at_1` and
    `recall_at_10` are the share of the right passages among the first 1 and 10. `ndcg_at_10` is the sum of
    1 / log2(1 + rank) over the right passages among the first 10, divided by its greatest possible value (Järvelin and
    Kekäläinen 2002). If a query has more than 10 right passages, that value counts the first 10.

    >>> retrieval_scores([[1], [2], [11]])["mrr_at_10"]
    0.5

    Args:
        ranks: for each query, the ranks of its right passages, counted from 1; at least one.

    Raises:
        ValueError: `ranks` is empty.
    """
    if not ranks:
        raise ValueError("`ranks` must hold at least one query. Received: an empty sequence")

    def recall(query_ranks: Sequence[int], cutoff: int) -> float:
        return sum(each <= cutoff for each in query_ranks) / len(query_ranks)

    def gain(query_ranks: Sequence[int]) -> float:
        return math.fsum(1.0 / math.log2(1 + each) for each in query_ranks if each <= _CUTOFF)

    def mean(values: Sequence[float]) -> float:
        return math.fsum(values) / len(values)

    first = [min(query_ranks) for query_ranks in ranks]
    return {
        "mrr_at_10": mean([1.0 / each if each <= _CUTOFF else 0.0 for each in first]),
        "recall_at_1": mean([recall(query_ranks, 1) for query_ranks in ranks]),
        "recall_at_10": mean([recall(query_ranks, _CUTOFF) for query_ranks in ranks]),
        "ndcg_at_10": mean([gain(query_ranks) / gain(range(1, len(query_ranks) + 1)) for query_ranks in ranks]),
    }
