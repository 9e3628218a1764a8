"""The worst errors of a fine-tuned model on labelled examples, in one form for all tasks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bert_tf.examples import ChoiceExample, RerankingExample
from bert_tf.scoring.question_answering import question_answering_scores


def worst_errors(
    kind: str, examples: Sequence[Any], answers: Sequence[Mapping[str, Any]], count: int
) -> list[dict[str, Any]]:
    """Return the worst errors first.

    Classes and sets of labels are sorted by the probability of what is wrong, numbers by the difference, tags by the
    number of wrong words, answers to questions by their F1, choices by the probability of the wrong one, and rankings
    by the rank of the first relevant passage (queries without one are left out); of equal ones, the more confident is
    the worse.

    Args:
        kind: the kind of the task, one of `behaviour.TASKS`.
        examples: labelled examples.
        answers: the model's answers to them.
        count: the number of errors to return at most.

    Returns:
        Dictionaries of `text`, `text_pair` (the context of a question, the question about a context), `label` and
        `predicted` (texts; for a ranking the relevant passage with its rank, and the first one), `probability` (None
        for tasks without one) and `source`.
    """
    describe = _DESCRIPTIONS[kind]
    found = []
    for example, answer in zip(examples, answers, strict=True):
        badness, label, predicted, probability = describe(example, answer)
        if badness > 0.0:
            text, pair = (*texts_of(example), None)[:2]
            error = {"text": text, "text_pair": pair, "label": label, "predicted": predicted}
            found.append((badness, probability or 0.0, error | {"probability": probability, "source": example.source}))
    found.sort(key=lambda item: item[:2], reverse=True)
    return [error for _, _, error in found[:count]]


def texts_of(example: Any) -> list[str]:
    """Return the text, or both texts, of an example: of a ranking the query, and of choices what they belong to."""
    if isinstance(example, RerankingExample):
        return [example.query]
    if isinstance(example, ChoiceExample):
        return [text for text in (example.context, example.question) if text] or [""]
    if hasattr(example, "question"):
        return [example.question, example.context]
    pair = getattr(example, "text_pair", None)
    return [example.text] if pair is None else [example.text, pair]


_Described = tuple[float, str, str, float | None]
"""How bad an answer is (0.0 if it is right), the truth, the answer, and its probability."""


def _of_class(example: Any, answer: Mapping[str, Any]) -> _Described:
    probability = float(answer["probabilities"][answer["label"]])
    wrong = answer["label"] != example.label
    return probability if wrong else 0.0, str(example.label), answer["label"], probability


def _of_labels(example: Any, answer: Mapping[str, Any]) -> _Described:
    true, predicted = set(example.label), set(answer["labels"])
    probabilities = answer["probabilities"]
    sure = [probabilities[name] for name in predicted - true]
    sure += [1.0 - probabilities.get(name, 0.0) for name in true - predicted]
    return max(sure, default=0.0), _listed(true), _listed(predicted), float(max(sure)) if sure else None


def _of_number(example: Any, answer: Mapping[str, Any]) -> _Described:
    return abs(answer["value"] - example.label), f"{example.label:g}", f"{answer['value']:.4g}", None


def _of_tags(example: Any, answer: Mapping[str, Any]) -> _Described:
    pairs = list(zip(example.words, example.tags, answer["tags"], strict=True))
    wrong = [(word, true, found) for word, true, found in pairs if true != found]
    shown = [", ".join(f"{word} {tags[place]}" for word, *tags in wrong) for place in (0, 1)]
    return float(len(wrong)), shown[0], shown[1], None


def _of_answer(example: Any, answer: Mapping[str, Any]) -> _Described:
    accepted = [text for text, _ in example.answers]
    f1 = question_answering_scores([accepted], [answer["answer"]])["f1"]
    probability = answer["n_best"][0]["probability"] if answer["answer"] else None
    return 1.0 - f1, " | ".join(dict.fromkeys(accepted)) or _NO_ANSWER, answer["answer"] or _NO_ANSWER, probability


def _of_choice(example: Any, answer: Mapping[str, Any]) -> _Described:
    probability = float(answer["probabilities"][answer["index"]])
    wrong = answer["index"] != example.label
    return probability if wrong else 0.0, example.choices[example.label], answer["choice"], probability


def _of_ranking(example: Any, answer: Mapping[str, Any]) -> _Described:
    relevances = example.relevances or ()
    first = answer["passages"][0]["passage"]
    for rank, passage in enumerate(answer["passages"], 1):
        if relevances[passage["index"]] > 0:
            return float(rank - 1), f"{passage['passage']} (rank {rank})", first, None
    return 0.0, "", first, None


_NO_ANSWER = "(no answer)"


def _listed(labels: set[str]) -> str:
    return ", ".join(sorted(labels)) or "(no label)"


_DESCRIPTIONS: Mapping[str, Callable[[Any, Mapping[str, Any]], _Described]] = {
    "classification": _of_class,
    "multi_label": _of_labels,
    "regression": _of_number,
    "tagging": _of_tags,
    "question_answering": _of_answer,
    "multiple_choice": _of_choice,
    "reranking": _of_ranking,
}
