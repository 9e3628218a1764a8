"""Metrics, compared with the documentation of scikit-learn and SciPy, and with results by hand."""

import math

import numpy as np
import pytest

from bert_tf.scoring.texts import classification_scores, multi_label_scores, regression_scores


def test_binary_metrics_equal_those_by_hand():
    # 3 true positives, 1 false positive, 2 false negatives, 4 true negatives.
    truth = list("1110110000")
    predicted = list("1111000000")
    scores = classification_scores(truth, predicted, ("0", "1"))
    assert scores["confusion_matrix"] == {"labels": ["0", "1"], "counts": [[4, 1], [2, 3]]}
    assert scores["accuracy"] == pytest.approx(0.7)
    assert (scores["precision"], scores["recall"]) == (pytest.approx(3 / 4), pytest.approx(3 / 5))
    assert scores["f1"] == pytest.approx(2 / 3)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 8 / 11) / 2)
    assert scores["matthews"] == pytest.approx((3 * 4 - 1 * 2) / math.sqrt(4 * 5 * 5 * 6))
    other = classification_scores(truth, predicted, ("0", "1"), positive_label="0")
    assert (other["precision"], other["recall"]) == (pytest.approx(4 / 6), pytest.approx(4 / 5))


def test_metrics_of_several_classes():
    """The example of scikit-learn's user guide for `classification_report`."""
    truth, predicted = ["0", "1", "2", "2", "0"], ["0", "0", "2", "1", "0"]
    scores = classification_scores(truth, predicted, ("0", "1", "2"))
    assert scores["accuracy"] == pytest.approx(0.6)
    assert [round(scores[f"macro_{name}"], 2) for name in ("precision", "recall", "f1")] == [0.56, 0.5, 0.49]
    assert "f1" not in scores
    assert scores["confusion_matrix"]["counts"] == [[2, 0, 0], [1, 0, 0], [0, 1, 1]]
    with pytest.raises(ValueError, match=r"`positive_label` must be one of the labels.*'9'"):
        classification_scores(truth, predicted, ("0", "1", "2"), positive_label="9")


def test_metrics_of_any_number_of_labels():
    truth = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]])
    probabilities = np.array([[0.9, 0.6, 0.1], [0.2, 0.8, 0.1], [0.6, 0.4, 0.2]])
    scores = multi_label_scores(truth, probabilities)
    # Decisions: 3 true positives, 1 false positive, 1 false negative.
    assert scores["micro_f1"] == pytest.approx(6 / 8)
    assert scores["macro_f1"] == pytest.approx((1.0 + 0.5 + 0.0) / 3)
    # The second label's probabilities rank .8 (true), .6 (false), .4 (true): precision 1 at the first, 2/3 at the last.
    assert scores["average_precision"] == pytest.approx((1.0 + (1.0 + 2 / 3) / 2) / 2)
    assert scores["exact_match"] == pytest.approx(1 / 3)
    assert multi_label_scores(truth, probabilities, threshold=0.95)["micro_f1"] == 0.0
    assert math.isnan(multi_label_scores(np.zeros((2, 2), int), np.zeros((2, 2)))["average_precision"])


def test_metrics_of_numbers():
    """The examples of scipy's documentation of `pearsonr` and `spearmanr`."""
    found = regression_scores([1, 2, 3, 4, 5, 6, 7], [10, 9, 2.5, 6, 4, 3, 2])
    assert found["pearson"] == pytest.approx(-0.828503883588428)
    assert regression_scores([1, 2, 3, 4, 5], [5, 6, 7, 8, 7])["spearman"] == pytest.approx(0.8207826816681233)
    assert regression_scores([1, 2], [2, 4])["mse"] == pytest.approx(2.5)
    assert math.isnan(regression_scores([1, 2], [3, 3])["pearson"])
