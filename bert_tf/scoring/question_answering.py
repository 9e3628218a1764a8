"""Exact match and F1 of answers, as defined by the official evaluation scripts of SQuAD 1.1 and 2.0."""

import collections
import re
import string
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized_answer(text: str) -> str:
    """Return the text in lower case, without ASCII punctuation, English articles and repeated spaces.

    >>> normalized_answer("The  Panthers' defense!")
    'panthers defense'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(truth: str, predicted: str) -> float:
    """Return 1.0 if both answers are equal after normalization, else 0.0."""
    return float(normalized_answer(truth) == normalized_answer(predicted))


def answer_f1(truth: str, predicted: str) -> float:
    """Return the F1 of the bags of words of both answers. If one has no words: 1.0 if both have none, else 0.0."""
    true_words, words = normalized_answer(truth).split(), normalized_answer(predicted).split()
    if not true_words or not words:
        return float(true_words == words)
    shared = (collections.Counter(true_words) & collections.Counter(words)).total()
    return 2.0 * shared / (len(true_words) + len(words))


def _best(truths: Sequence[str], predicted: str) -> tuple[float, float]:
    """Return the best exact match and the best F1 over the acceptable answers; without any, "" is acceptable."""
    accepted = [truth for truth in truths if normalized_answer(truth)] or [""]
    return (
        max(exact_match(truth, predicted) for truth in accepted),
        max(answer_f1(truth, predicted) for truth in accepted),
    )


def question_answering_scores(truths: Sequence[Sequence[str]], predicted: Sequence[str]) -> dict[str, float]:
    """Return means over the questions, between 0 and 1 (the official scripts multiply them by 100).

    Args:
        truths: the acceptable answers of each question; empty for a question without an answer.
        predicted: one answer for each question; "" for no answer.

    Returns:
        `exact_match` and `f1`. If some questions have no answer, also the same metrics over the questions with an
        answer (`answerable_...`) and over those without (`unanswerable_...`).
    """
    pairs = [_best(answers, text) for answers, text in zip(truths, predicted, strict=True)]
    parts = {"": list(range(len(pairs)))}
    without = [number for number in parts[""] if not any(map(normalized_answer, truths[number]))]
    if without:
        chosen = set(without)
        parts |= {"answerable_": [n for n in parts[""] if n not in chosen], "unanswerable_": without}
    scores = {}
    for prefix, numbers in parts.items():
        if numbers:
            scores[f"{prefix}exact_match"] = sum(pairs[number][0] for number in numbers) / len(numbers)
            scores[f"{prefix}f1"] = sum(pairs[number][1] for number in numbers) / len(numbers)
    return scores


def best_null_threshold(
    truths: Sequence[Sequence[str]], best_answers: Sequence[str], null_differences: Sequence[float]
) -> dict[str, float]:
    """Return the threshold with the best F1 on these questions (`find_best_thresh` of the SQuAD 2.0 script).

    Args:
        truths: as in `question_answering_scores`.
        best_answers: the best non-empty answer of each question.
        null_differences: score of no answer minus score of the best answer, for each question.

    Returns:
        `best_f1` and `best_null_threshold`. A question is answered if its difference is at most the threshold.
    """
    without = sum(not any(map(normalized_answer, answers)) for answers in truths)
    current = best = float(without)  # the score if no question is answered
    threshold = min(null_differences, default=0.0) - 1.0
    for number in sorted(range(len(truths)), key=lambda number: null_differences[number]):
        if any(map(normalized_answer, truths[number])):
            current += _best(truths[number], best_answers[number])[1]
        elif best_answers[number]:
            current -= 1.0  # the point for not answering
        if current > best:
            best, threshold = current, null_differences[number]
    return {"best_f1": best / max(len(truths), 1), "best_null_threshold": threshold}
