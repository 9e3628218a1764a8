"""The report of a fine-tuned model's behaviour on labelled examples: slices, calibration, errors and perturbations."""

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from bert_tf.examples import TextExample
from bert_tf.scoring.behaviour import PERTURBATIONS, calibration, groups, length_slice
from bert_tf.serving.predictor import Predictor
from bert_tf.serving.worst_errors import texts_of, worst_errors
from bert_tf.tasks.base import Task
from bert_tf.tasks.long_texts import warning_once

TASKS = (
    *("classification", "multi_label", "regression", "tagging", "question_answering"),
    *("multiple_choice", "reranking"),
)
"""The tasks whose answers are scored one example at a time."""


def behaviour_report(
    predictor: Predictor,
    examples: Sequence[Any],
    *,
    columns: Mapping[str, Sequence[str]] | None = None,
    num_errors: int = 20,
    perturbations: bool = True,
) -> dict[str, Any]:
    """Return how a fine-tuned model does on parts of its examples, and where it errs.

    Args:
        predictor: the model, for one of `TASKS`.
        examples: labelled examples of its task.
        columns: for each further slicing a value for each example, such as the source of the text.
        num_errors: number of errors to return.
        perturbations: whether the texts are changed, each of which is answered again.

    Returns:
        `metric`, its name; `score` on all examples; `scores`, all of the task's, with its tables (`confusion_matrix`,
        `types`); `slices`: dictionaries of `by` (`length`, `unknown tokens`, `label` or a column), `slice`, `count` and
        `score` (None where it is not defined); `errors` (`worst_errors`); for classification and multiple choice also
        `calibration` (`scoring.behaviour.calibration`); and for classes and labels `perturbations`: the share of
        answers that each change of the texts changes. Slices by length are those of the query in reranking, and of
        context and question in multiple choice.

    Raises:
        ValueError: the model is not for one of `TASKS`, there are no examples, or a column has another length.
    """
    task = predictor.task
    if task is None or task.kind not in TASKS:
        raise ValueError(
            f"`slices` needs a model for {', '.join(TASKS)}. Received: a model for {predictor.description.task}"
        )
    if not examples:
        raise ValueError("`examples` must hold at least one example. Received: none")
    for name, values in (columns or {}).items():
        if len(values) != len(examples):
            raise ValueError(
                f"`columns` must have a value for each of the {len(examples)} examples. "
                f"Received: {len(values)} for {name!r}"
            )
    with warning_once():
        return _report(predictor, task, examples, columns or {}, num_errors, perturbations)


def _report(
    predictor: Predictor,
    task: Task,
    examples: Sequence[Any],
    columns: Mapping[str, Sequence[str]],
    num_errors: int,
    perturbations: bool,
) -> dict[str, Any]:
    labels = predictor.description.labels
    answers = predictor.predict(examples)
    metric = task.main_score(labels)

    def scores(indices: Sequence[int]) -> dict[str, Any]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # scikit-learn warns of a slice with one label
                return task.scores([examples[one] for one in indices], [answers[one] for one in indices], labels)
        except ValueError:  # a correlation of one example, or queries without a relevant passage
            return {}

    def score(indices: Sequence[int]) -> float | None:
        value = float(scores(indices).get(metric, math.nan))
        return value if math.isfinite(value) else None

    everything = range(len(examples))
    report: dict[str, Any] = {
        "metric": metric,
        "score": score(everything),
        "scores": scores(everything),
        "slices": [
            {"by": by, "slice": name, "count": len(indices), "score": score(indices)}
            for by, names in _slicings(predictor, examples, columns).items()
            for name, indices in sorted(groups(names).items(), key=lambda item: _sort_key(item[0]))
        ],
    }
    if task.kind in ("classification", "multiple_choice"):
        report["calibration"] = _calibration(examples, answers)
    report["errors"] = worst_errors(task.kind, examples, answers, num_errors)
    if perturbations and task.kind in ("classification", "multi_label"):
        report["perturbations"] = _changed(predictor, examples, answers)
    return report


def _slicings(
    predictor: Predictor, examples: Sequence[Any], columns: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Return the slice of each example, for each way to slice."""
    texts = [texts_of(example) for example in examples]
    ids = [[index for text in both for index in predictor.tokenizer.encode(text)] for both in texts]
    unknown = predictor.tokenizer.unk_id
    found = {
        "length": [length_slice(len(one)) for one in ids],
        "unknown tokens": ["with [UNK]" if unknown in one else "without [UNK]" for one in ids],
    }
    if predictor.description.task == "classification":
        found["label"] = [str(example.label) for example in examples]
    return found | {name: list(map(str, values)) for name, values in columns.items()}


def _sort_key(name: str) -> tuple[int, str]:
    """Return a key that sorts slices of lengths by their numbers."""
    first = name.split(" ", 1)[0]
    return (int(first) if first.isdecimal() else 0, name)


def _calibration(examples: Sequence[Any], answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the calibration of a classifier, or of a model for multiple choice."""
    chosen = [answer["label"] if "label" in answer else answer["index"] for answer in answers]
    confidences = [answer["probabilities"][one] for answer, one in zip(answers, chosen, strict=True)]
    return calibration(confidences, [example.label == one for example, one in zip(examples, chosen, strict=True)])


def _changed(
    predictor: Predictor, examples: Sequence[TextExample], answers: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the share of answers that each perturbation changes, among the texts that it changes."""
    found = []
    for name, change in PERTURBATIONS.items():
        changed = [index for index, example in enumerate(examples) if change(example.text) != example.text]
        some = [dataclasses.replace(examples[index], text=change(examples[index].text)) for index in changed]
        after = predictor.predict(some) if some else []
        differ = sum(_choice(one) != _choice(answers[index]) for one, index in zip(after, changed, strict=True))
        share = differ / len(changed) if changed else None
        found.append({"perturbation": name, "count": len(changed), "changed": share})
    return found


def _choice(answer: dict[str, Any]) -> Any:
    return answer["label"] if "label" in answer else answer["labels"]


def report_lines(report: dict[str, Any]) -> list[str]:
    """Return the lines that show a report on a terminal."""
    lines = [f"{'':<36} {'examples':>8} {report['metric']:>10}"]
    lines += [
        f"{one['by'] + ': ' + one['slice']:<36.36} {one['count']:>8} {_shown(one['score']):>10}"
        for one in report["slices"]
    ]
    if "calibration" in report:
        lines.append(f"{'expected calibration error':<36} {'':>8} {_shown(report['calibration']['ece']):>10}")
    for one in report.get("perturbations", []):
        lines.append(f"{'changed by ' + one['perturbation']:<36} {one['count']:>8} {_shown(one['changed']):>10}")
    for one in report.get("errors", [])[:5]:
        sure = "" if one["probability"] is None else f"{one['probability']:.3f} "
        lines.append(f"error, {sure}{one['predicted']} for {one['label']}: {one['text'][:80]!r}")
    return lines


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
