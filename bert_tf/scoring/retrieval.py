"""Retrieval by vectors: the nearest passages of a query, and the metrics of the ranks of those that answer it.

Axes: Q queries, P passages, D size of the vectors.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

_CUTOFF = 10
_SCORES_AT_ONCE = 1 << 24  # 64 MiB of float32
_QUERIES_AT_ONCE = 1 << 9


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


def nearest(queries: np.ndarray, parts: Sequence[np.ndarray], top_k: int) -> list[list[tuple[int, float]]]:
    """Return the nearest passages of each query, as `rank` does.

    Scores are computed in blocks. Memory is needed for one block, whatever the number of queries and passages is.

    Args:
        queries: float32 [Q, D].
        parts: the passages in their order, as arrays float32 or float16 [P', D], which may be memory-mapped.
        top_k: number of nearest passages to return.

    Returns:
        For each query, nearest first, the indices of the passages and their products with the query.
    """
    found: list[list[tuple[int, float]]] = []
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        some = queries[start : start + _QUERIES_AT_ONCE]
        best = [(np.zeros(0, np.float32), np.zeros(0, np.int64))] * len(some)
        for first, block in _blocks(parts):
            for number, row in enumerate(some @ block.T):
                best[number] = _merged(*best[number], row, first, top_k)
        found += [list(zip(indices.tolist(), scores.tolist(), strict=True)) for scores, indices in best]
    return found


def _blocks(parts: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the index of each block's first passage, and its vectors, float32."""
    at_once = max(1, _SCORES_AT_ONCE // _QUERIES_AT_ONCE)
    before = 0
    for part in parts:
        for start in range(0, len(part), at_once):
            yield before + start, np.asarray(part[start : start + at_once], np.float32)
        before += len(part)


def _merged(
    best: np.ndarray, indices: np.ndarray, row: np.ndarray, first: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best scores and their indices after a block of passages that follow those seen so far.

    Args:
        best: the greatest scores so far, greatest first.
        indices: their passages.
        row: the scores of the block.
        first: the index of the block's first passage.
        count: the number of scores to keep.
    """
    # A score that equals the least kept one comes from a later passage, which ranks behind it.
    candidates = np.flatnonzero(row > best[-1]) if len(best) == count else np.arange(len(row))
    if not len(candidates):
        return best, indices
    candidates = candidates[_nearest(row[candidates], min(count, len(candidates)))]
    scores = np.concatenate([best, row[candidates]])
    order = np.argsort(-scores, kind="stable")[:count]
    return scores[order], np.concatenate([indices, first + candidates])[order]


def nearest_among(
    queries: np.ndarray, parts: Sequence[np.ndarray], candidates: np.ndarray, top_k: int
) -> list[list[tuple[int, float]]]:
    """Return the nearest passages of each query among its candidates. Other arguments are those of `nearest`.

    Args:
        queries: float32 [Q, D].
        parts: the passages.
        candidates: the indices of each query's candidates, int [Q, C]; -1 for none.
        top_k: number of nearest passages to return.
    """
    firsts = np.cumsum([0, *map(len, parts)])
    found = []
    for query, row in zip(queries, candidates, strict=True):
        indices = np.sort(row[row >= 0])
        bounds = np.searchsorted(indices, firsts)
        vectors = [
            part[indices[start:end] - first]
            for part, first, start, end in zip(parts, firsts[:-1], bounds[:-1], bounds[1:], strict=True)
        ]
        scores = np.concatenate(vectors).astype(np.float32) @ query
        order = _nearest(scores, min(top_k, len(scores)))
        found.append(list(zip(indices[order].tolist(), scores[order].tolist(), strict=True)))
    return found


def _nearest(row: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the `count` greatest values, greatest first. Equal values keep their order."""
    if not count:
        return np.zeros(0, int)
    least = np.partition(row, len(row) - count)[len(row) - count]
    candidates = np.flatnonzero(row >= least)
    return candidates[np.argsort(-row[candidates], kind="stable")][:count]


def retrieval_scores(ranks: Sequence[Sequence[int]]) -> dict[str, float]:
    """Return `scores_of_ranks` of passages that are right or wrong (binary relevance), without the MAP.

    >>> retrieval_scores([[1], [2], [11]])["mrr_at_10"]
    0.5

    Args:
        ranks: for each query, the ranks of its right passages, counted from 1; at least one.

    Raises:
        ValueError: `ranks` is empty.
    """
    found = scores_of_ranks([[(rank, 1.0) for rank in own] for own in ranks], [[1.0] * len(own) for own in ranks])
    return {name: value for name, value in found.items() if name != "map"}


def ranking_scores(rankings: Sequence[Sequence[float]], relevant: Sequence[Sequence[float]]) -> dict[str, float]:
    """Return `scores_of_ranks` of rankings.

    >>> ranking_scores([[0, 2, 1]], [[2, 1, 0, 0]])["map"]  # (1/2 + 2/3) / 2
    0.5833333333333333

    Args:
        rankings: for each query, the relevance of each passage that was found, best first.
        relevant: for each query, the relevances of all judged passages in any order, found or not; one is above 0.

    Raises:
        ValueError: there is no query, or one has no relevant passage.
    """
    found = [[(rank, relevance) for rank, relevance in enumerate(ranking, 1) if relevance > 0] for ranking in rankings]
    return scores_of_ranks(found, relevant)


def scores_of_ranks(
    found: Sequence[Sequence[tuple[int, float]]], relevant: Sequence[Sequence[float]]
) -> dict[str, float]:
    """Return means over the queries of the metrics of MS MARCO, BEIR (Thakur et al. 2021) and TREC.

    A passage is relevant if its relevance is above 0. `mrr_at_10` is 1 / the rank of the first relevant passage, and 0
    if that rank exceeds 10. `recall_at_1` and `recall_at_10` are the share of the relevant passages among the first 1
    and 10. `ndcg_at_10` is the sum of relevance / log2(1 + rank) over the first 10, divided by its greatest possible
    value (Järvelin and Kekäläinen 2002; the gain is linear, as in trec_eval's `ndcg_cut`). `map` is the mean of the
    precision at the rank of each relevant passage, 0 for one that was not found (trec_eval's `map`).

    Args:
        found: for each query, the relevant passages that were found, each as its rank, counted from 1, and relevance.
        relevant: for each query, the relevances of its relevant passages, found or not. Others, 0, do not count.

    Raises:
        ValueError: there is no query, or one has no relevant passage.
    """
    if not found:
        raise ValueError("`ranks` must hold at least one query. Received: an empty sequence")
    totals = [sum(relevance > 0 for relevance in own) for own in relevant]
    if not all(totals):
        raise ValueError(
            f"`relevant` must have a relevance above 0 for each query. Received: {relevant[totals.index(0)]}"
        )

    def recall(cutoff: int) -> list[float]:
        return [sum(rank <= cutoff for rank, _ in own) / total for own, total in zip(found, totals, strict=True)]

    def gain(own: Iterable[tuple[int, float]]) -> float:
        return math.fsum(relevance / math.log2(1 + rank) for rank, relevance in own if rank <= _CUTOFF)

    def precision(own: Sequence[tuple[int, float]]) -> float:
        return math.fsum(number / rank for number, (rank, _) in enumerate(sorted(own), 1))

    def mean(values: Sequence[float]) -> float:
        return math.fsum(values) / len(values)

    first = [min((rank for rank, _ in own), default=_CUTOFF + 1) for own in found]
    best = [gain(enumerate(sorted(own, reverse=True), 1)) for own in relevant]
    return {
        "mrr_at_10": mean([1.0 / each if each <= _CUTOFF else 0.0 for each in first]),
        "recall_at_1": mean(recall(1)),
        "recall_at_10": mean(recall(_CUTOFF)),
        "ndcg_at_10": mean([gain(own) / ideal for own, ideal in zip(found, best, strict=True)]),
        "map": mean([precision(own) / total for own, total in zip(found, totals, strict=True)]),
    }
