"""The behaviour of a model beside its one score: calibration, slices of a data set, and small changes of the texts."""

import random
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

NUM_BINS = 10


def calibration(confidences: Sequence[float], right: Sequence[bool], num_bins: int = NUM_BINS) -> dict[str, Any]:
    """Return how far the probabilities of a classifier's answers are from the shares of right answers.

    This is the expected calibration error of Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2:
    the mean over bins of equal width, weighted by their examples, of the difference between accuracy and mean
    confidence.

    Args:
        confidences: the probability of each answer, from 0 to 1.
        right: whether each answer is right.
        num_bins: number of bins between 0 and 1.

    Returns:
        `ece`, and `bins`: for each bin with examples its `low` and `high`, `count`, `confidence` and `accuracy`.
    """
    values, hits = np.asarray(confidences, np.float64), np.asarray(right, np.float64)
    indices = np.clip(np.ceil(values * num_bins).astype(int) - 1, 0, num_bins - 1)  # (low, high], as in the paper
    bins = []
    for number in range(num_bins):
        inside = indices == number
        if inside.any():
            bins.append(
                {
                    "low": number / num_bins,
                    "high": (number + 1) / num_bins,
                    "count": int(inside.sum()),
                    "confidence": float(values[inside].mean()),
                    "accuracy": float(hits[inside].mean()),
                }
            )
    error = sum(one["count"] * abs(one["accuracy"] - one["confidence"]) for one in bins) / max(1, len(values))
    return {"ece": float(error), "bins": bins}


def length_slice(num_tokens: int) -> str:
    """Return the slice of a text's number of tokens; slices end at powers of two.

    >>> length_slice(8), length_slice(9), length_slice(100)
    ('1 to 8 tokens', '9 to 16 tokens', '65 to 128 tokens')
    """
    high = 8
    while num_tokens > high:
        high *= 2
    return f"{1 if high == 8 else high // 2 + 1} to {high} tokens"


def groups(names: Sequence[str]) -> dict[str, list[int]]:
    """Return the indices of the examples of each slice, in the order in which slices first occur."""
    found: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        found.setdefault(name, []).append(index)
    return found


def typos(text: str, seed: int = 0) -> str:
    """Return a text in which two neighbouring letters of one word of at least four letters are swapped."""
    chance = random.Random(f"{seed} {text}")
    words = text.split(" ")
    long = [index for index, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    if not long:
        return text
    index = chance.choice(long)
    word = words[index]
    places = [place for place in range(len(word) - 1) if word[place] != word[place + 1]]
    if not places:
        return text
    place = chance.choice(places)
    words[index] = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    return " ".join(words)


def without_punctuation(text: str) -> str:
    """Return a text without the punctuation of ASCII."""
    return " ".join(text.translate(str.maketrans("", "", string.punctuation)).split())


def with_full_stop(text: str) -> str:
    """Return a text that ends in a full stop, or that ends in one no more."""
    return text[:-1].rstrip() if text.endswith(".") else f"{text.rstrip()} ."


PERTURBATIONS: Mapping[str, Callable[[str], str]] = {
    "typo": typos,
    "lower case": str.lower,
    "upper case": str.upper,
    "no punctuation": without_punctuation,
    "full stop": with_full_stop,
}
"""Changes of a text that should not change its class (Ribeiro et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP
Models with CheckList", invariance tests)."""
