"""The losses of rankings, by hand, and what they depend on."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, log_softmax, softmax

from bert_tf.configs.tasks.reranking import RERANKING_LOSSES
from bert_tf.objectives.objective import ranking_objective
from bert_tf.objectives.ranking import ranking_losses, ranking_metrics, ranking_weights

SIZE, MARGIN, MOST = 4, 0.7, 3.0
SCORES = np.array([[0.3, -1.2, 2.0, 0.4], [1.5, 0.1, -0.2, 9.0], [0.6, 0.2, -7.0, 8.0]], np.float32)
RELEVANCES = np.array([[0, 3, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], np.float32)
WEIGHTS = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]], np.float32)  # 0: a missing passage


def _batch(relevances=RELEVANCES, weights=WEIGHTS):
    return {"label_values": relevances.reshape(-1), "label_weights": weights.reshape(-1)}


def _loss(loss, scores=SCORES, batch=None):
    found = ranking_losses(tf.reshape(scores, [-1]), batch or _batch(), loss, group_size=SIZE, margin=MARGIN, most=MOST)
    [(name, (total, weight))] = found.items()
    assert name == f"{loss}_loss"
    return total, weight


def _by_hand(loss):
    total, weight = 0.0, 0
    for scores, relevances, weights in zip(SCORES, RELEVANCES, WEIGHTS, strict=True):
        s, r = scores[weights > 0].astype(float), relevances[weights > 0].astype(float)
        if loss == "binary":
            p, t = expit(s), r / MOST
            total -= (t * np.log(p) + (1 - t) * np.log1p(-p)).sum()
            weight += len(s)
            continue
        pairs = [s[i] - s[j] for i in range(len(s)) for j in range(len(s)) if r[i] > r[j]]
        if loss == "listnet":
            total, weight = total - (softmax(r) * log_softmax(s)).sum(), weight + 1
        elif loss == "softmax" and r.any():
            total, weight = total - (r / r.sum() * log_softmax(s)).sum(), weight + 1
        elif loss in ("ranknet", "margin") and pairs:
            costs = [np.log1p(np.exp(-d)) if loss == "ranknet" else max(0.0, MARGIN - d) for d in pairs]
            total, weight = total + np.mean(costs), weight + 1
    return total, weight


@pytest.mark.parametrize("loss", RERANKING_LOSSES)
def test_losses_are_those_by_hand(loss):
    total, weight = _loss(loss)
    expected, expected_weight = _by_hand(loss)
    assert float(total) == pytest.approx(expected, rel=1e-5)
    assert float(weight) == expected_weight
    assert float(ranking_weights(_batch(), loss, SIZE)[f"{loss}_loss"]) == expected_weight


@pytest.mark.parametrize("loss", RERANKING_LOSSES)
def test_missing_passages_have_no_effect(loss):
    other = np.where(WEIGHTS > 0, SCORES, 1e4).astype(np.float32)
    assert float(_loss(loss, other)[0]) == pytest.approx(float(_loss(loss)[0]), rel=1e-6)
    scores = tf.Variable(SCORES)
    with tf.GradientTape() as tape:
        total, _ = _loss(loss, scores)
    gradient = tape.gradient(total, scores).numpy()
    assert np.isfinite(gradient).all()
    assert not gradient[WEIGHTS == 0].any()
    assert gradient[0].any()
    if loss != "binary":  # a score's gradient depends on its own query alone, and a query's gradients add up to 0
        np.testing.assert_allclose(gradient.sum(axis=1), 0.0, atol=1e-6)
        scores.assign(np.stack([SCORES[0], SCORES[1] * 3 + 1, SCORES[2]]))
        with tf.GradientTape() as tape:
            total, _ = _loss(loss, scores)
        np.testing.assert_allclose(tape.gradient(total, scores).numpy()[[0, 2]], gradient[[0, 2]], atol=1e-6)


@pytest.mark.parametrize("loss", [loss for loss in RERANKING_LOSSES if loss != "binary"])
def test_the_losses_of_groups_do_not_change_when_all_scores_of_a_query_do(loss):
    shifted = SCORES + np.array([[5.0], [-3.0], [0.5]], np.float32)
    assert float(_loss(loss, shifted)[0]) == pytest.approx(float(_loss(loss)[0]), rel=1e-4)


def test_the_weight_of_a_query_is_that_of_its_rows():
    half = _batch(weights=WEIGHTS * np.array([[0.5], [1.0], [1.0]], np.float32))
    first = float(_loss("softmax", batch=_batch(weights=WEIGHTS * np.array([[1.0], [0.0], [0.0]], np.float32)))[0])
    total, weight = _loss("softmax", batch=half)
    assert float(total) == pytest.approx(float(_loss("softmax")[0]) - first / 2, rel=1e-5)
    assert float(weight) == 1.5


def test_metrics():
    metrics = ranking_metrics(SCORES.reshape(-1), _batch(), SIZE)
    assert [float(value) for value in metrics["top_1_accuracy"]] == [1.0, 2.0], "the third query has no relevant one"
    assert not ranking_objective("binary", group_size=1, margin=1.0, most=1.0).metrics(SCORES, _batch())
