"""The behaviour of a run's model on parts of a labelled file, for `bert-tf evaluate --slices`."""

import importlib.util
import os
from collections.abc import Sequence
from typing import Any

from bert_tf.configs import FinetuningConfig
from bert_tf.serving.behaviour import behaviour_report, report_lines
from bert_tf.serving.predictor import load
from bert_tf.utils import files, json_text
from bert_tf.utils.arguments import renamed
from data_pipelines.finetuning import tables
from data_pipelines.finetuning.labelled import read_examples, read_part


def write_behaviour(
    run_dir: str,
    eval_data: str | None,
    folder: str,
    *,
    part: str | None = None,
    columns: Sequence[str] = (),
    task: str | None = None,
) -> str:
    """Write `behaviour.json` and, where matplotlib is installed, `reliability.png`, and return a table.

    Args:
        run_dir: the folder of a fine-tuned run.
        eval_data: a file of labelled examples; None for a part of the run's own file.
        folder: the folder to write into, which is made if it is missing.
        part: the part (`train`, `eval` or `test`) of the run's own file.
        columns: columns of the table `eval_data` by whose values the examples are sliced too.
        task: for a run of several tasks, the name of one.

    Raises:
        FileNotFoundError: a file or folder is missing.
        ValueError: data and model do not agree, or a column is missing.
    """
    with renamed(path="model_dir"):
        predictor = load(run_dir, task)
    description = predictor.description
    if predictor.task is None:
        raise ValueError(f"`slices` needs a model for one task. Received: {run_dir!r}, a model for {description.task}")
    if eval_data is not None:
        with renamed(path="eval_data"):
            examples = read_examples(eval_data, predictor.task.config).examples
    else:
        config = FinetuningConfig.from_dict(description.experiment).task
        examples = read_part(config, description.data, str(part)).of_task(task or "").examples
    if columns and eval_data is None:
        raise ValueError(f"`slice_columns` must be columns of `eval_data`. Received: {', '.join(columns)} and no file")
    values = {name: _column(str(eval_data), name) for name in columns}
    report = behaviour_report(predictor, examples, columns=values)
    files.make_folder(folder)
    files.write_text(os.path.join(folder, "behaviour.json"), json_text.dumps(report, indent=2) + "\n")
    if "calibration" in report:
        _plot(report["calibration"], os.path.join(folder, "reliability.png"))
    return "\n".join([*report_lines(report), f"{folder}: {', '.join(sorted(files.names_in_folder(folder)))}"])


def _column(path: str, name: str) -> list[str]:
    """Return the values of a column of a table."""
    with renamed(column="slice_columns"):
        return [tables.text_field(row, name, source, may_be_empty=True) for source, row in tables.read_rows(path)]


def _plot(calibration: dict[str, Any], path: str) -> None:
    """Write the reliability diagram, if matplotlib is installed."""
    if importlib.util.find_spec("matplotlib") is not None:
        from experiments.reports.plots import reliability_figure, save

        save(reliability_figure(calibration), path)
