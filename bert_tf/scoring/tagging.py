"""Spans in sequences of tags, and their scores: the rules of conlleval (CoNLL-2000), which seqeval follows too.

They read IOB1, IOB2 and IOBES alike, and make the best of sequences that no scheme allows: an `I-PER` behind an `O`
starts a span.
"""

import collections
from collections.abc import Iterable, Sequence
from typing import Any

SCHEMES = {"iob": "BI", "iobes": "BIES"}
"""Prefixes of the tags in each scheme; `O` belongs to both."""


def scheme_of(tags: Iterable[str]) -> str:
    """`iob`, `iobes`, or `none` where the tags are no parts of spans (parts of speech).

    >>> scheme_of(["O", "B-PER", "I-PER"]), scheme_of(["S-LOC", "O"]), scheme_of(["NN", "VB"])
    ('iob', 'iobes', 'none')
    """
    prefixes = {tag[:1] if tag[1:2] == "-" else tag for tag in tags} - {"O"}
    for scheme, allowed in SCHEMES.items():
        if prefixes and prefixes <= set(allowed):
            return scheme
    return "none"


def tag_spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """The spans in a sequence: (type, first word, word behind the last).

    >>> tag_spans(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
    [('PER', 0, 2), ('LOC', 3, 4), ('LOC', 4, 5)]
    """
    spans = []
    start = None
    before, type_before = "O", ""
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, type_ = tag.partition("-")
        if start is not None and (prefix in "BSO" or before in "ES" or type_ != type_before):
            spans.append((type_before, start, place))
            start = None
        if prefix != "O" and start is None:
            start = place
        before, type_before = prefix, type_
    return spans


def _scores(right: int, predicted: int, true: int) -> dict[str, float]:
    precision = right / predicted if predicted else 0.0
    recall = right / true if true else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}


def tagging_scores(truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], scheme: str) -> dict[str, Any]:
    """Scores of tags.

    Args:
        truth: a sequence of tags for each sentence.
        predicted: as many, each as long.
        scheme: of `scheme_of`.

    Returns:
        `accuracy` per word; unless the scheme is `none`, `precision`, `recall`, `f1` of whole spans (type and both ends
        right) over all types, `macro_f1`, and `types`: the three of each type, and its number of true spans, `support`.
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
