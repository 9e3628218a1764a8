"""Metrics of choices."""

from collections.abc import Sequence

import numpy as np


def multiple_choice_scores(truth: Sequence[int], probabilities: Sequence[Sequence[float]]) -> dict[str, float]:
    """Return metrics of one choice for each example.

    Args:
        truth: the index of the right choice of each example.
        probabilities: the probabilities of each example's choices, whose numbers may differ.

    Returns:
        `accuracy`; `choice_loss`, the mean of -log(probability of the right choice) in nats; and `random_accuracy`,
        the accuracy that drawing choices would have, 1 divided by their number.
    """
    right = [int(np.argmax(own)) == label for label, own in zip(truth, probabilities, strict=True)]
    own = np.array([own[label] for label, own in zip(truth, probabilities, strict=True)], np.float64)
    return {
        "accuracy": float(np.mean(right)),
        "choice_loss": float(-np.log(np.maximum(own, np.finfo(np.float32).tiny)).mean()),
        "random_accuracy": float(np.mean([1 / len(own) for own in probabilities])),
    }
