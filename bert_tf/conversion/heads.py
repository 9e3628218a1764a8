"""The head that published weights hold, and the task that it is for.

Classifiers, taggers and regressors are published under the same names (`classifier.weight`, `output_weights`). Which
one they are follows from the wanted task, and from what the source says beside them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from bert_tf.configs import BertConfig
from bert_tf.conversion.names import HEADS, head_names
from bert_tf.conversion.report import ConversionReport
from bert_tf.tasks import MODEL_KINDS, TASKS
from bert_tf.tasks.model_kinds import Encoder, Pretraining
from bert_tf.tasks.retrieval import Retrieval


@dataclasses.dataclass(frozen=True)
class Statement:
    """The statement of a source about its task, which stands beside its weights.

    Attributes:
        tasks: the tasks that it may be for, the likeliest first.
        is_certain: whether it is for no other task.
        advice: where to say it, for the message that it does not say enough.
    """

    tasks: tuple[str, ...] = ()
    is_certain: bool = False
    advice: str = ""


def heads_and_task(
    form: str,
    config: BertConfig,
    tensors: dict[str, tuple[str, Any]],
    *,
    stated: Statement,
    wanted: str | None,
    report: ConversionReport,
) -> tuple[tuple[str, ...], str]:
    """Return the heads that the tensors belong to, and the task of a model with these heads.

    A head that cannot be used, because the source's task is unknown and `wanted` needs no such head, is taken out of
    `tensors`, and `report` says so.

    Args:
        form: the format of the names in `tensors`: the name of an attribute of `names.Part`.
        config: the sizes.
        tensors: name in the format -> (name in the source, values).
        stated: what the source says about its task.
        wanted: the task of the model that is to be loaded; None for the source's own.
        report: the report of the conversion.

    Raises:
        ValueError: `wanted` is None or unknown, and the source does not say what its head is for.
    """
    if wanted is not None:
        check_task(wanted)
    names = {head: frozenset(head_names(form, config, head)) for head in HEADS}
    held = [head for head in HEADS if names[head] & tensors.keys()]
    alike = [head for head in held if any(names[head] == names[other] for other in HEADS if other != head)]
    tasks = {"question_answering": "question_answering"} if "question_answering" in held else {}
    if alike:
        product = next(name for name in head_names(form, config, alike[0]) if name in tensors)
        # Formats differ in the axes of the product, but not in the bias, which comes last.
        bias = next(name for name in reversed(head_names(form, config, alike[0])) if name in tensors)
        outputs = len(np.atleast_1d(tensors[bias][1]))
        task = _task_of_head(alike, outputs, stated, wanted)
        if task is not None:
            tasks[TASKS[task].heads[-1]] = task
        elif wanted is None and "question_answering" not in held:
            raise ValueError(_unknown(report.source, tensors[product][0], outputs, stated))
        else:
            for name in names[alike[0]] & tensors.keys():
                report.ignored[tensors.pop(name)[0]] = "a head of another kind"
        held = [head for head in held if head not in alike or head in tasks]
    chosen = {task: head for head, task in tasks.items()}
    if wanted in TASKS and TASKS[wanted].keeps_head and set(TASKS[wanted].heads) <= set(held):
        return TASKS[wanted].heads, wanted  # a head of pre-training that the task goes on with
    if wanted in chosen:
        return (chosen[wanted],), wanted
    pretraining = tuple(head for head in Pretraining.heads if head in held)
    if pretraining and (wanted == Pretraining.kind or not tasks):
        return pretraining, Pretraining.kind
    for head, task in tasks.items():
        return (head,), task
    return (), Encoder.kind


def check_task(task: str) -> None:
    """Check that `task` names a kind of model.

    Raises:
        ValueError: there is no such task.
    """
    if task not in MODEL_KINDS:
        raise ValueError(f"`task` must be one of {', '.join(MODEL_KINDS)}. Received: {task!r}")


def check_same_task(task: str | None, found: str, path: str) -> None:
    """Check that a model is for the wanted task. A retrieval model is served as an encoder.

    Args:
        task: the wanted task; None for any.
        found: the task of the model.
        path: where the model was found, for the message.

    Raises:
        ValueError: there is no such task, or the tasks differ.
    """
    if task is not None:
        check_task(task)
    if task is not None and _served(task) != _served(found):
        raise ValueError(f"`task` must be {found!r}, the task of the model in {path}, or None. Received: {task!r}")


def _served(task: str) -> str:
    return Encoder.kind if task == Retrieval.kind else task


def _task_of_head(heads: Sequence[str], outputs: int, stated: Statement, wanted: str | None) -> str | None:
    """Return the task of a head that is published under the name of several `heads`; None if it cannot be told."""
    fitting = [
        task
        for task, kind in TASKS.items()
        if kind.heads and kind.heads[-1] in heads and (outputs > 1 if kind.has_classes else outputs == 1)
    ]
    agreeing = [task for task in stated.tasks if task in fitting]
    if wanted in (agreeing if stated.is_certain else fitting):
        return wanted
    return agreeing[0] if agreeing else None


def _unknown(source: str, product: str, outputs: int, stated: Statement) -> str:
    task = "'encoder'" if stated.is_certain else "'tagging', 'classification' or 'encoder'"
    return (
        f"{source}: the task of the head {product!r} ({outputs} output{'s' if outputs > 1 else ''}) must be known, "
        f"because classifiers, taggers and regressors share this name. {stated.advice}. To load the weights for "
        f"another use, give `task`, such as {task}"
    )


def class_labels(labels: Any, weights: Mapping[str, Any], task: str, *, source: str) -> tuple[str, ...]:
    """Return the names of the classes by id: those in `labels` if it names every class, else `LABEL_0`, `LABEL_1` ...

    Args:
        labels: what the source holds: a list of names, or a dictionary of names by number (a string).
        weights: the weights, by their names here.
        task: the task of the model.
        source: the file that names the labels, for messages.

    Raises:
        ValueError: two classes have the same name.
    """
    kind = MODEL_KINDS[task]
    bias = weights.get(f"{kind.heads[-1]}/dense/bias") if kind.has_classes else None
    if bias is None:
        return ()
    names = {str(number): name for number, name in enumerate(labels)} if isinstance(labels, list | tuple) else labels
    if not isinstance(names, dict) or set(names) != {str(number) for number in range(len(bias))}:
        return made_up_labels(len(bias))
    found = tuple(str(names[str(number)]) for number in range(len(bias)))
    if len(set(found)) != len(found):
        raise ValueError(f"{source}: `id2label` must name each class differently. Received: {names}")
    return found


def made_up_labels(count: int) -> tuple[str, ...]:
    """Return the names that `transformers` gives to classes without names."""
    return tuple(f"LABEL_{number}" for number in range(count))


def warn_of_architectures(source: str, unknown: Sequence[str]) -> None:
    """Log a warning if a folder names classes that are unknown here, whose weights may mean something else."""
    if unknown:
        logging.warning(
            "%s: `architectures` names %s, which is no class of `transformers` that is known here. What it computes "
            "beside BERT is left out",
            source,
            ", ".join(unknown),
        )
