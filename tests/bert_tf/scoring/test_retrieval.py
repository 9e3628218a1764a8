"""Ranks and metrics of retrieval, compared with results by hand and by scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from bert_tf.scoring import retrieval
from bert_tf.scoring.retrieval import nearest, nearest_among, rank, retrieval_scores


def test_ranks_and_nearest_by_hand():
    queries = np.array([[1, 0], [0, 1]], np.float32)
    passages = np.array([[0.5, 2], [3, 2], [0.5, 9], [1, 0]], np.float32)
    ranks, nearest = rank(queries, passages, [[2, 1], [0]], top_k=3)
    assert ranks == [[1, 4], [2]], "equally near passages keep their order: 0 before 2, 0 before 1"
    assert nearest == [[(1, 3.0), (3, 1.0), (0, 0.5)], [(2, 9.0), (0, 2.0), (1, 2.0)]]
    assert rank(queries, passages, [[], []], top_k=9)[1][0] == [(1, 3.0), (3, 1.0), (0, 0.5), (2, 0.5)]


def test_blocks_of_queries_rank_like_all_queries_at_once(monkeypatch):
    random = np.random.default_rng(0)
    queries, passages = random.standard_normal((20, 4)), random.standard_normal((30, 4))
    right = [random.choice(30, 3, replace=False).tolist() for _ in queries]
    whole = rank(queries, passages, right, top_k=5)
    monkeypatch.setattr(retrieval, "_SCORES_AT_ONCE", 70)
    parts = rank(queries, passages, right, top_k=5)
    assert parts[0] == whole[0]
    np.testing.assert_allclose(parts[1], whole[1])


@pytest.mark.parametrize("top_k", [1, 4, 50])
def test_blocks_of_passages_have_the_nearest_of_all(monkeypatch, top_k):
    random = np.random.default_rng(0)
    queries = random.integers(-2, 3, (11, 3)).astype(np.float32)
    passages = random.integers(-2, 3, (40, 3)).astype(np.float32)  # many products are equal
    expected = rank(queries, passages, [()] * 11, top_k=top_k)[1]
    parts = [passages[:17], passages[17:18].astype(np.float16), passages[18:]]
    assert nearest(queries, [passages], top_k) == expected
    monkeypatch.setattr(retrieval, "_QUERIES_AT_ONCE", 4)
    monkeypatch.setattr(retrieval, "_SCORES_AT_ONCE", 12)
    assert nearest(queries, parts, top_k) == expected
    everything = np.array([random.permutation(np.append(np.arange(40), -1)) for _ in queries])
    assert nearest_among(queries, parts, everything, top_k) == expected
    assert nearest(queries[:0], parts, top_k) == []


def test_metrics_equal_those_by_hand():
    found = retrieval_scores([[1], [2, 3], [11], [1, 10]])
    assert found["mrr_at_10"] == pytest.approx((1 + 1 / 2 + 0 + 1) / 4)
    assert found["recall_at_1"] == pytest.approx((1 + 0 + 0 + 1 / 2) / 4)
    assert found["recall_at_10"] == pytest.approx((1 + 1 + 0 + 1) / 4)
    with pytest.raises(ValueError, match="at least one query"):
        retrieval_scores([])


def test_ndcg_equals_scikit_learn():
    random = np.random.default_rng(1)
    queries, passages = random.standard_normal((40, 8)), random.standard_normal((60, 8))
    right = [sorted(random.choice(60, int(random.integers(1, 15)), replace=False).tolist()) for _ in queries]
    relevance = np.zeros((40, 60))
    for row, indices in enumerate(right):
        relevance[row, indices] = 1
    ranks, _ = rank(queries, passages, right, top_k=1)
    expected = ndcg_score(relevance, queries @ passages.T, k=10)
    assert retrieval_scores(ranks)["ndcg_at_10"] == pytest.approx(expected)
