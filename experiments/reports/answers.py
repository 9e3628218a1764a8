"""The answers of the runs' models in a report: behaviour on labelled examples, and guesses at masks."""

from collections.abc import Iterator, Mapping
from typing import Any

from bert_tf.configs import FinetuningConfig
from bert_tf.serving.behaviour import TASKS, behaviour_report
from bert_tf.serving.predictor import MultiTaskPredictor, load
from bert_tf.tasks import trainable_of
from bert_tf.tasks.base import Member
from bert_tf.tasks.long_texts import warning_once
from bert_tf.tasks.multi_task import MultiTask
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from data_pipelines.finetuning.by_task import files_by_task
from data_pipelines.finetuning.labelled import read_examples
from data_pipelines.finetuning.tables import TFDS
from data_pipelines.input.record_folder import RecordFolder
from experiments.reports.comparison import NOT_ANSWERED
from experiments.reports.masked_examples import masked_examples
from experiments.reports.runs import Curve, Numbered


def check_answers(curves: Numbered, eval_data: str | None, records: str | None) -> None:
    """Check that the data suits a run, before any model is read.

    Raises:
        FileNotFoundError: `eval_data` or `records` is missing.
        ValueError: no run can use `eval_data` or `records`, or `eval_data` would be for two tasks.
    """
    kinds = list(dict.fromkeys(curve.task for _, curve in curves))
    listed = ", ".join(kinds)
    if records is not None and "pretraining" not in kinds:
        raise ValueError(f"`records` needs a pre-training among the runs. Received: runs for {listed}")
    if records is not None:
        with renamed(path="records"):
            RecordFolder(records)
    if eval_data is not None:
        answering = [curve for _, curve in curves if curve.task in (*TASKS, MultiTask.kind)]
        if len({curve.task for curve in answering}) != 1:
            reasons = "".join(f". {kind}: {NOT_ANSWERED[kind]}" for kind in kinds if kind in NOT_ANSWERED)
            raise ValueError(
                f"`eval_data` needs runs for one of {', '.join((*TASKS, MultiTask.kind))}, all for the same. "
                f"Received: runs for {listed}{reasons}"
            )
        for path in dict.fromkeys(path for curve in answering for path in _files(curve, eval_data).values()):
            if not path.startswith(TFDS) and not files.exists(path):
                raise FileNotFoundError(f"`eval_data` must be a file that exists. Received: {path!r}")


def _members(curve: Curve) -> tuple[Member, ...]:
    """Return the tasks of a fine-tuned run; one without a name if it has a single one."""
    description = curve.best_run().description
    config = description.config()
    assert isinstance(config, FinetuningConfig)
    return trainable_of(config.task).members(description.labels)


def _files(curve: Curve, eval_data: str) -> Mapping[str, str]:
    """Return the file of each task of a run that answers single examples, by its name.

    Raises:
        ValueError: a run for several tasks has no file for one of these.
    """
    members = _members(curve)
    if curve.task != MultiTask.kind:
        return {members[0].name: eval_data}
    others = [member.name for member in members if member.task.kind not in TASKS]
    with renamed(path="eval_data"):
        found = files_by_task(eval_data, [member.name for member in members], optional=others)
    return {name: path for name, path in found.items() if name not in others}


def behaviours(curves: Numbered, eval_data: str, *, perturbations: bool = True) -> list[dict[str, Any]]:
    """Return the behaviour of each fine-tuned curve on the labelled examples of a file, for each of its tasks.

    Returns:
        `serving.behaviour.behaviour_report` with `curve` (an index), `of`, the folder of the run, `task`, its kind,
        `member`, its name among several tasks (else ""), and `data`, the file.

    Raises:
        FileNotFoundError: the file or a checkpoint is missing.
        ValueError: data and model do not agree.
    """
    with warning_once():
        return [one for index, curve in curves for one in _behaviours(index, curve, eval_data, perturbations)]


def _behaviours(index: int, curve: Curve, eval_data: str, perturbations: bool) -> Iterator[dict[str, Any]]:
    if curve.task in (*TASKS, MultiTask.kind):
        run, paths = curve.best_run(), _files(curve, eval_data)
        predictor = load(run.folder)
        for member in _members(curve):
            if member.name not in paths:
                continue
            path = paths[member.name]
            own = predictor.predictors[member.name] if isinstance(predictor, MultiTaskPredictor) else predictor
            with renamed(path="eval_data", examples="eval_data"):
                examples = read_examples(path, member.task.config).examples
                report = behaviour_report(own, examples, perturbations=perturbations)
            about = {"curve": index, "of": run.folder, "task": member.task.kind, "member": member.name, "data": path}
            yield about | report


def all_masked_examples(curves: Numbered, records: str, count: int) -> list[dict[str, Any]]:
    """Return `masked_examples` of each pre-training, with `curve`, an index."""
    return [
        {"curve": index, "rows": masked_examples(curve.best_run().folder, records, count)}
        for index, curve in curves
        if curve.task == "pretraining"
    ]
