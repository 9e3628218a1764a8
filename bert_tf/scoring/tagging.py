"""Metrics of tags and of the spans they mark, by the rules of conlleval (CoNLL-2000) and seqeval."""

import collections
from collections.abc import Sequence
from typing import Any

from bert_tf.scoring.tag_schemes import TagScheme

Spans = Sequence[list[tuple[str, int, int]]]
"""The spans of each sentence."""


def _scores(right: int, predicted: int, true: int) -> dict[str, float]:
    precision = right / predicted if predicted else 0.0
    recall = right / true if true else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}


def tagging_scores(
    truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], scheme: TagScheme
) -> dict[str, Any]:
    """Return metrics of tags.

    Args:
        truth: a sequence of tags for each sentence.
        predicted: sequences of the same number and lengths.
        scheme: the scheme of all labels.

    Returns:
        `accuracy` per word. If the tags mark spans, also `precision`, `recall` and `f1` of whole spans (type and both
        ends must be right) over all types; `macro_f1`, the mean of the types' F1; `strict_precision`, `strict_recall`
        and `strict_f1`, for which only sequences that the scheme allows are spans, in `truth` and in `predicted`; and
        `types`, with precision, recall and F1 of each type, and its number of true spans, `support`.
    """
    words = sum(map(len, truth))
    equal = sum(a == b for one, other in zip(truth, predicted, strict=True) for a, b in zip(one, other, strict=True))
    scores: dict[str, Any] = {"accuracy": equal / words if words else float("nan")}
    if not scheme.marks_spans:
        return scores
    counts = _counts(*([scheme.spans(tags) for tags in sentences] for sentences in (truth, predicted)))
    types = {
        type_: _scores(*(each[type_] for each in counts)) | {"support": counts[-1][type_]}
        for type_ in sorted(counts[1].keys() | counts[2].keys())
    }
    scores |= _scores(*(each.total() for each in counts))
    scores["macro_f1"] = sum(each["f1"] for each in types.values()) / len(types) if types else 0.0
    form = scheme.form(truth)
    counts = _counts(*([scheme.strict_spans(tags, form) for tags in sentences] for sentences in (truth, predicted)))
    strict = _scores(*(each.total() for each in counts))
    return scores | {f"strict_{name}": value for name, value in strict.items()} | {"types": types}


def _counts(truth: Spans, predicted: Spans) -> list[collections.Counter[str]]:
    """Return the number of right, of predicted and of true spans of each type."""
    counts: list[collections.Counter[str]] = [collections.Counter() for _ in range(3)]
    for one, other in zip(truth, predicted, strict=True):
        for counter, spans in zip(counts, (set(one) & set(other), other, one), strict=True):
            counter.update(type_ for type_, _, _ in spans)
    return counts
