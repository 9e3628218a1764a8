"""Spans in sequences of tags, and their metrics, by the rules of conlleval (CoNLL-2000) and seqeval.

The rules read IOB1, IOB2 and IOBES, and accept sequences that no scheme allows: an `I-PER` after an `O` starts a span.
"""

import collections
from collections.abc import Iterable, Sequence
from typing import Any

SCHEMES = {"iob": "BI", "iobes": "BIES"}
"""Prefixes of the tags in each scheme; `O` belongs to both."""


def scheme_of(tags: Iterable[str]) -> str:
    """Return the scheme of the tags: `iob`, `iobes`, or `none` if they mark no spans (parts of speech).

    >>> scheme_of(["O", "B-PER", "I-PER"]), scheme_of(["S-LOC", "O"]), scheme_of(["NN", "VB"])
    ('iob', 'iobes', 'none')
    """
    prefixes = {tag[:1] if tag[1:2] == "-" else tag for tag in tags} - {"O"}
    for scheme, allowed in SCHEMES.items():
        if prefixes and prefixes <= set(allowed):
            return scheme
    return "none"


def tag_spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Return the spans in a sequence as (type, index of the first word, index after the last word).

    >>> tag_spans(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
    [('PER', 0, 2), ('LOC', 3, 4), ('LOC', 4, 5)]
    """
    spans = []
    start = None
    before, type_before = "O", ""
    for index, tag in enumerate([*tags, "O"]):
        prefix, _, type_ = tag.partition("-")
        if start is not None and (prefix in "BSO" or before in "ES" or type_ != type_before):
            spans.append((type_before, start, index))
            start = None
        if prefix != "O" and start is None:
            start = index
        before, type_before = prefix, type_
    return spans


def _scores(right: int, predicted: int, true: int) -> dict[str, float]:
    precision = right / predicted if predicted else 0.0
    recall = right / true if true else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}


def tagging_scores(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], scheme: str) -> dict[str, Any]:
    """Return metrics of tags.

    Args:
        truth: a sequence of tags for each sentence.
        predicted: sequences of the same number and lengths.
        scheme: the result of `scheme_of`.

    Returns:
        `accuracy` per word. Unless the scheme is `none`, also `precision`, `recall` and `f1` of whole spans (type and
        both ends must be right) over all types, `macro_f1`, the mean of the types' F1, and `types`: the same three
        metrics of each type, and its number of true spans, `support`.
    """
    words = sum(map(len, truth))
    equal = sum(a == b for one, other in zip(truth, predicted, strict=True) for a, b in zip(one, other, strict=True))
    scores: dict[str, Any] = {"accuracy": equal / words if words else float("nan")}
    if scheme == "none":
        return scores
    counts: dict[str, collections.Counter[str]] = {
        name: collections.Counter() for name in ("right", "predicted", "true")
    }
    for one, other in zip(truth, predicted, strict=True):
        true_spans, predicted_spans = set(tag_spans(one)), set(tag_spans(other))
        for name, spans in (
            ("true", true_spans),
            ("predicted", predicted_spans),
            ("right", true_spans & predicted_spans),
        ):
            counts[name].update(type_ for type_, _, _ in spans)
    types = {
        type_: _scores(*(counts[name][type_] for name in ("right", "predicted", "true")))
        | {"support": counts["true"][type_]}
        for type_ in sorted(counts["true"].keys() | counts["predicted"].keys())
    }
    scores |= _scores(*(counts[name].total() for name in ("right", "predicted", "true")))
    scores["macro_f1"] = sum(each["f1"] for each in types.values()) / len(types) if types else 0.0
    return scores | {"types": types}
