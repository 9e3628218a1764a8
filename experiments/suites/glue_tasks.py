"""The tasks of GLUE (Wang et al. 2019): their official files, their metrics, and what the site expects of a submission.

```
data/CoLA  data/SST-2  data/MRPC  data/QQP  data/STS-B  data/MNLI  data/QNLI  data/RTE  data/WNLI   train, dev, test.tsv
data/diagnostic/diagnostic.tsv                                                                      (AX)
```
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from bert_tf.configs import FinetuningConfig
from bert_tf.configs.experiment_files import load_config
from bert_tf.configs.tasks import RegressionConfig, TextTaskConfig
from bert_tf.examples import TextExample
from bert_tf.utils import files
from data_pipelines.finetuning import tables


@dataclasses.dataclass(frozen=True)
class UnlabelledSet:
    """A set without labels, whose predictions are submitted.

    Attributes:
        file: the file, below the folder of all data.
        submission: the name of the file of predictions.
    """

    file: str
    submission: str


@dataclasses.dataclass(frozen=True)
class GlueTask:
    """A task of GLUE.

    Attributes:
        name: the task's name and its experiment's, such as `sst2`.
        folder: the folder of its files.
        metrics: the metrics that GLUE reports, by the names of `scoring.texts`, the one that decides first.
        dev_sets: the files of its development sets, by what the table calls them.
        unlabelled_sets: the sets to predict.
    """

    name: str
    folder: str
    metrics: tuple[str, ...]
    dev_sets: Mapping[str, str]
    unlabelled_sets: tuple[UnlabelledSet, ...]

    def config(self, overrides: Sequence[str] = ()) -> FinetuningConfig:
        """Return its experiment, with changed fields (`--set`)."""
        return load_config(self.name, FinetuningConfig, overrides)


def _task(name: str, folder: str, *metrics: str) -> GlueTask:
    tests = (UnlabelledSet(f"{folder}/test.tsv", f"{folder}.tsv"),)
    return GlueTask(name, folder, metrics, {folder: f"{folder}/dev.tsv"}, tests)


_MNLI = GlueTask(
    "mnli",
    "MNLI",
    ("accuracy",),
    {"MNLI-m": "MNLI/dev_matched.tsv", "MNLI-mm": "MNLI/dev_mismatched.tsv"},
    (
        UnlabelledSet("MNLI/test_matched.tsv", "MNLI-m.tsv"),
        UnlabelledSet("MNLI/test_mismatched.tsv", "MNLI-mm.tsv"),
        UnlabelledSet("diagnostic/diagnostic.tsv", "AX.tsv"),
    ),
)

TASKS = {
    task.name: task
    for task in (
        _task("cola", "CoLA", "matthews"),
        _task("sst2", "SST-2", "accuracy"),
        _task("mrpc", "MRPC", "f1", "accuracy"),
        _task("stsb", "STS-B", "pearson", "spearman"),
        _task("qqp", "QQP", "f1", "accuracy"),
        _MNLI,
        _task("qnli", "QNLI", "accuracy"),
        _task("rte", "RTE", "accuracy"),
        _task("wnli", "WNLI", "accuracy"),
    )
}
"""The nine tasks by name. The diagnostic set is predicted by the model for MNLI."""

SUBMISSION_FILES = tuple(test.submission for task in TASKS.values() for test in task.unlabelled_sets)
"""The eleven files that the site expects in a submission."""


def check_files(task: GlueTask, config: TextTaskConfig, data_dir: str) -> None:
    """Check that the files of a task exist and have its columns.

    Args:
        task: the task.
        config: the settings of its experiment.
        data_dir: the folder of all data.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: a file has not the columns of the task, or no rows. The message names file and column.
    """
    labelled = (f"{task.folder}/train.tsv", *task.dev_sets.values())
    for name in (*labelled, *(test.file for test in task.unlabelled_sets)):
        path = os.path.join(data_dir, name)
        if not files.exists(path):
            raise FileNotFoundError(
                f"`data` must be the folder of GLUE's files, {name} among them (leave out tasks by --tasks). "
                f"Received: {data_dir!r}, without {name}"
            )
        skipped: list[str] | None = [] if config.skip_incomplete else None
        source, row = next(iter(tables.read_rows(path, config.columns, skipped)), ("", {}))
        if not row:
            raise ValueError(f"{path}: must have at least one row. Received: none")
        columns = [config.text_column, *([config.text_pair_column] if config.text_pair_column else [])]
        for column in (*columns, *([config.label_column] if name in labelled else [])):
            tables.field(row, column, source)


def read_unlabelled(path: str, config: TextTaskConfig) -> tuple[list[str], list[TextExample]]:
    """Return the indices and the examples of a test set. Empty texts are kept: each row needs a prediction.

    Args:
        path: the file.
        config: the settings of the task's experiment, which name the columns.

    Raises:
        ValueError: a row has more or fewer fields than the header, or a column is missing.
    """
    indices, examples = [], []
    pair = config.text_pair_column
    for number, (source, row) in enumerate(tables.read_rows(path, config.columns)):
        indices.append(str(row.get("index", row.get("id", number))).strip())
        text, second = (
            None if column is None else tables.text_field(row, column, source, may_be_empty=True)
            for column in (config.text_column, pair)
        )
        examples.append(TextExample(text or "", second, source=source))
    return indices, examples


def submission_text(indices: Sequence[str], answers: Sequence[Mapping[str, Any]], config: TextTaskConfig) -> str:
    """Return the contents of a file of predictions: a header, and an index and a prediction in each line.

    Similarities (STS-B) are cut to what the task allows, from 0 to 5.

    Args:
        indices: the indices of the rows.
        answers: an answer for each of them, with its `label` or its `value`.
        config: the settings of the task's experiment.
    """
    lines = ["index\tprediction"]
    for index, answer in zip(indices, answers, strict=True):
        number = isinstance(config, RegressionConfig)
        prediction = f"{min(5.0, max(0.0, answer['value'])):.3f}" if number else answer["label"]
        lines.append(f"{index}\t{prediction}")
    return "\n".join(lines) + "\n"
