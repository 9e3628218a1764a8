"""The answers of the runs' models in a report: behaviour on labelled examples, and guesses at masks."""

from typing import Any

from bert_tf.configs import FinetuningConfig
from bert_tf.serving.behaviour import TASKS, behaviour_report
from bert_tf.serving.predictor import load
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from data_pipelines.finetuning.labelled import read_examples
from data_pipelines.finetuning.tables import TFDS
from data_pipelines.input.record_folder import RecordFolder
from experiments.reports.masked_examples import masked_examples
from experiments.reports.runs import Numbered


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
        if not eval_data.startswith(TFDS) and not files.exists(eval_data):
            raise FileNotFoundError(f"`eval_data` must be a file that exists. Received: {eval_data!r}")
        tasks = [kind for kind in kinds if kind in TASKS]
        if len(tasks) != 1:
            raise ValueError(
                f"`eval_data` needs runs for one of {', '.join(TASKS)}, all for the same. Received: runs for {listed}"
            )


def behaviours(curves: Numbered, eval_data: str, *, perturbations: bool = True) -> list[dict[str, Any]]:
    """Return the behaviour of each fine-tuned curve on the labelled examples of a file.

    Returns:
        `serving.behaviour.behaviour_report` with `curve` (an index) and `of`, the folder of the run.

    Raises:
        FileNotFoundError: the file or a checkpoint is missing.
        ValueError: data and model do not agree.
    """
    found = []
    for index, curve in curves:
        if curve.task not in TASKS:
            continue
        run = curve.best_run()
        config = run.description.config()
        assert isinstance(config, FinetuningConfig)
        with renamed(path="eval_data", examples="eval_data"):
            examples = read_examples(eval_data, config.task).examples
            report = behaviour_report(load(run.folder), examples, perturbations=perturbations)
        found.append({"curve": index, "of": run.folder, "task": curve.task, **report})
    return found


def all_masked_examples(curves: Numbered, records: str, count: int) -> list[dict[str, Any]]:
    """Return `masked_examples` of each pre-training, with `curve`, an index."""
    return [
        {"curve": index, "rows": masked_examples(curve.best_run().folder, records, count)}
        for index, curve in curves
        if curve.task == "pretraining"
    ]
