"""The evaluation of one model on several files, such as one for each language, and its table."""

import math
import re
from typing import Any

from bert_tf.runs import folder as run_folder
from bert_tf.tasks.multi_task import MultiTask
from bert_tf.utils import files


def named_files(eval_data: str | None, run_dir: str, task: str | None = None) -> dict[str, str]:
    """Return the files of `NAME=FILE,NAME=FILE` by their names; none of another form.

    For a run of several tasks these are the files of one data set, unless one of the tasks is chosen.

    Raises:
        ValueError: a name is given twice, or a file does not exist.
    """
    parts = (eval_data or "").split(",")
    if task is None and run_folder.read_run(run_dir)[0].task == MultiTask.kind:
        return {}
    if not all(re.fullmatch(r"[\w-]+=.+", part) for part in parts):
        return {}
    found = dict(part.split("=", 1) for part in parts)
    if len(found) < len(parts):
        raise ValueError(f"`eval_data` must have another name for each file. Received: {eval_data!r}")
    for path in found.values():
        if not path.startswith("tfds:") and not files.exists(path):
            raise FileNotFoundError(f"`eval_data` must name files that exist. Received: {path!r}")
    return found


def table(metrics: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines of a table with the metrics that are numbers: a line for each data set."""
    names = [name for name, value in next(iter(metrics.values())).items() if isinstance(value, int | float)]
    width = max(map(len, metrics))
    lines = [" ".join([f"{'':<{width}}", *(f"{name:>{max(8, len(name))}}" for name in names)])]
    for data, values in metrics.items():
        cells = (f"{values.get(name, math.nan):>{max(8, len(name))}.4f}" for name in names)
        lines.append(" ".join([f"{data:<{width}}", *cells]))
    return lines
