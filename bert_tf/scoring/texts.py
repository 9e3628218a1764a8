"""Metrics of classes, sets of labels and numbers, as defined by scikit-learn and SciPy."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def classification_scores(
    truth: Sequence[str], predicted: Sequence[str], labels: Sequence[str], *, positive_label: str | None = None
) -> dict[str, Any]:
    """Return metrics of one class for each text.

    Args:
        truth: N labels.
        predicted: N labels.
        labels: all classes, in the order of the confusion matrix.
        positive_label: class of the binary metrics; None for the second of two.

    Returns:
        `accuracy`; with two classes, `precision`, `recall` and `f1` of the positive one; `macro_precision`,
        `macro_recall` and `macro_f1`, the means over all classes (a class that is never predicted, or never occurs,
        counts 0); `matthews`, the correlation coefficient for any number of classes; and `confusion_matrix` with
        `labels` and `counts`, which has a row for each true class and a column for each predicted one.

    Raises:
        ValueError: `positive_label` is not one of `labels`.
    """
    from sklearn import metrics  # imported here, so that importing the library stays fast

    if positive_label is not None and positive_label not in labels:
        raise ValueError(
            f"`positive_label` must be one of the labels ({', '.join(labels)}). Received: {positive_label!r}"
        )
    names = list(labels)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(truth, predicted, labels=names, zero_division=0)
    scores: dict[str, Any] = {"accuracy": float(metrics.accuracy_score(truth, predicted))}
    if len(names) == 2:
        positive = names.index(positive_label) if positive_label is not None else 1
        scores |= {"precision": precision[positive], "recall": recall[positive], "f1": f1[positive]}
    scores |= {"macro_precision": precision.mean(), "macro_recall": recall.mean(), "macro_f1": f1.mean()}
    scores["matthews"] = metrics.matthews_corrcoef(truth, predicted)
    scores = {name: float(score) for name, score in scores.items()}
    counts = metrics.confusion_matrix(truth, predicted, labels=names).tolist()
    return scores | {"confusion_matrix": {"labels": names, "counts": counts}}


def multi_label_scores(truth: np.ndarray, probabilities: np.ndarray, threshold: float = 0.5) -> dict[str, float]:
    """Return metrics of any number of labels for each text.

    Args:
        truth: 0 or 1, [N, C].
        probabilities: float [N, C].
        threshold: least probability of a predicted label.

    Returns:
        `micro_f1` over all decisions; `macro_f1`, the mean over the labels; `average_precision`, the mean over the
        labels that occur; `micro_average_precision` over all decisions; and `exact_match`, the share of texts whose
        set of labels is right.
    """
    from sklearn import metrics

    predicted = (probabilities >= threshold).astype(int)
    occurs = truth.any(axis=0)
    scores = {
        "micro_f1": metrics.f1_score(truth, predicted, average="micro", zero_division=0),
        "macro_f1": metrics.f1_score(truth, predicted, average="macro", zero_division=0),
        "average_precision": float("nan"),
        "micro_average_precision": float("nan"),
        "exact_match": (truth == predicted).all(axis=1).mean(),
    }
    if occurs.any():
        scores["average_precision"] = metrics.average_precision_score(truth[:, occurs], probabilities[:, occurs])
        scores["micro_average_precision"] = metrics.average_precision_score(truth, probabilities, average="micro")
    return {name: float(score) for name, score in scores.items()}


def regression_scores(truth: Sequence[float], predicted: Sequence[float]) -> dict[str, float]:
    """Return metrics of numbers.

    Returns:
        `pearson` and `spearman`, nan if the true or the predicted numbers are all equal, and `mse`.
    """
    from scipy import stats

    true, found = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    scores = {"pearson": float("nan"), "spearman": float("nan"), "mse": float(np.mean((true - found) ** 2))}
    if len(true) > 1 and np.ptp(true) > 0 and np.ptp(found) > 0:
        scores |= {
            "pearson": float(stats.pearsonr(true, found).statistic),
            "spearman": float(stats.spearmanr(true, found).statistic),
        }
    return scores
