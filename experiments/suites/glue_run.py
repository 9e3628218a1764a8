"""A run over tasks of GLUE: every point of the grid with every seed, predictions of the best, and the submission.

```
output_dir/sst2/learning_rate=5e-05,batch_size=16/seed-0/  ...   the runs of a task (training/sweeps.py)
output_dir/sst2/glue.json             scores and predictions of a finished task, which is not trained again
output_dir/predictions/SST-2.tsv      the predictions of a finished task     output_dir/submission.zip   all of them
output_dir/glue.json                  the scores of all tasks
```
"""

import dataclasses
import io
import os
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from bert_tf.configs import FinetuningConfig
from bert_tf.configs.tasks import TextTaskConfig
from bert_tf.serving.predictor import load
from bert_tf.training.engine import Engine
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from data_pipelines.finetuning.labelled import read_parts
from experiments.evaluation import evaluate
from experiments.finetuning import finetune
from experiments.prediction import answers
from experiments.python.results import SweepResult
from experiments.suites.glue_tasks import SUBMISSION_FILES, GlueTask, check_files, read_unlabelled, submission_text

RESULT_FILE = "glue.json"
SUBMISSION = "submission.zip"


@dataclasses.dataclass(frozen=True)
class GlueRun:
    """The runs of some tasks with one grid.

    Attributes:
        data_dir: the folder of GLUE's files.
        output_dir: the folder of all runs.
        tasks: the tasks.
        init_checkpoint: the pre-trained model that every run starts from.
        seeds: the random seeds.
        grid: the values of fields by dotted name; {} for the experiments as they are.
        overrides: changes to the fields of every experiment, such as `num_epochs=2`.
    """

    data_dir: str
    output_dir: str
    tasks: Sequence[GlueTask]
    init_checkpoint: str
    seeds: Sequence[int] = (0,)
    grid: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    overrides: Sequence[str] = ()

    def check(self) -> None:
        """Check the files of all tasks and the results that stand already, before anything is trained.

        Raises:
            FileNotFoundError: a file of a task does not exist.
            ValueError: a file has not the columns of its task, or a finished task had other settings.
        """
        for task in self.tasks:
            check_files(task, _texts(task.config(self.overrides)), self.data_dir)
            self.finished(task)
        with renamed(folder="output_dir"):
            files.require_writable_folder(self.output_dir)

    def finished(self, task: GlueTask) -> dict[str, Any] | None:
        """Return the result of a task; None if it is not finished.

        Raises:
            ValueError: it was finished with other settings.
        """
        path = self._path(task.name, RESULT_FILE)
        if not files.exists(path):
            return None
        result = files.read_json(path)
        if result["settings"] != self._settings:
            raise ValueError(
                f"`output_dir` must hold tasks that were finished with the settings given, {self._settings}. "
                f"Received: {self.output_dir!r}, where {task.name} was finished with {result['settings']}"
            )
        return result

    def run(self, engine: Engine) -> dict[str, Any]:
        """Train, evaluate and predict the tasks that are not finished, and write the submission.

        Args:
            engine: the devices and processes.

        Returns:
            `tasks`, the result of each by name: for each development set the `scores` of the best run, and the `mean`
            and `deviation` of the deciding metric over the seeds; `average` over the tasks; and `missing`, the files
            of a full submission that there are no predictions for.

        Raises:
            FileNotFoundError, ValueError, FloatingPointError, Preempted: see `bert_tf.training.finetuning.finetune`.
        """
        results = {task.name: self.finished(task) or self._train(task, engine) for task in self.tasks}
        names = [test.submission for task in self.tasks for test in task.unlabelled_sets]
        contents = io.BytesIO()
        with zipfile.ZipFile(contents, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                # The same predictions make the same file, whenever it is written.
                archive.writestr(zipfile.ZipInfo(name), files.read_text(self._path("predictions", name)))
        files.write_bytes(self._path(SUBMISSION), contents.getvalue())
        summary = {
            "tasks": results,
            "average": average([result["scores"] for result in results.values()]),
            "missing": [name for name in SUBMISSION_FILES if name not in names],
        }
        files.write_json(self._path(RESULT_FILE), summary)
        return summary

    def _train(self, task: GlueTask, engine: Engine) -> dict[str, Any]:
        config = task.config(self.overrides)
        (first, dev_file), *others = task.dev_sets.items()
        paths = {"train": self._data(f"{task.folder}/train.tsv"), "eval": self._data(dev_file)}
        found = finetune(
            config,
            read_parts(config.task, paths),
            run_dir=self._path(task.name),
            engine=engine,
            seeds=self.seeds,
            grid=self.grid,
            init_checkpoint=self.init_checkpoint,
        )
        assert isinstance(found, SweepResult)
        best = found.best
        scores = {first: best.scores}
        scores |= {name: evaluate(best.run_dir, self._data(file)) for name, file in others}
        self._predict(task, config, best.run_dir)
        result = {
            "settings": self._settings,
            "scores": {name: {metric: own[metric] for metric in task.metrics} for name, own in scores.items()},
            "mean": found.scores[task.metrics[0]],
            "deviation": found.deviation[task.metrics[0]],
            "run": best.run_dir,
            "best": {**best.settings, "train.seed": best.seed},
        }
        files.write_json(self._path(task.name, RESULT_FILE), result)
        return result

    def _predict(self, task: GlueTask, config: FinetuningConfig, run_dir: str) -> None:
        predictor = load(run_dir, batch_size=config.train.eval_batch_size)
        texts = _texts(config)
        files.make_folder(self._path("predictions"))
        for test in task.unlabelled_sets:
            indices, examples = read_unlabelled(self._data(test.file), texts)
            found = list(answers(predictor, examples))
            files.write_text(self._path("predictions", test.submission), submission_text(indices, found, texts))

    @property
    def _settings(self) -> dict[str, Any]:
        """The settings that decide the result of a task, as JSON holds them."""
        return {
            "init_checkpoint": self.init_checkpoint,
            "seeds": list(self.seeds),
            "grid": {name: list(values) for name, values in self.grid.items()},
            "set": list(self.overrides),
        }

    def _data(self, name: str) -> str:
        return os.path.join(self.data_dir, name)

    def _path(self, *names: str) -> str:
        return os.path.join(self.output_dir, *names)


def average(scores: Sequence[Mapping[str, Mapping[str, float]]]) -> float:
    """Return the mean over the tasks. A task with several metrics or development sets counts once, by their mean.

    Args:
        scores: for each task, the metrics of each development set.
    """
    means = []
    for of_task in scores:
        values = [value for metrics in of_task.values() for value in metrics.values()]
        means.append(sum(values) / len(values))
    return sum(means) / len(means)


def table(summary: Mapping[str, Any]) -> str:
    """Return the scores of `GlueRun.run` as a table in Markdown, in percent."""
    lines = ["| task | metrics | development set | over the seeds | settings |", "| --- | --- | --- | --- | --- |"]
    for result in summary["tasks"].values():
        settings = ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in result["best"].items())
        spread = f"{100 * result['mean']:.1f} ± {100 * result['deviation']:.1f}"
        for name, scores in result["scores"].items():
            values = " / ".join(f"{100 * value:.1f}" for value in scores.values())
            lines.append(f"| {name} | {' / '.join(scores)} | {values} | {spread} | {settings} |")
            spread, settings = "", ""
    return "\n".join([*lines, f"| average | | {100 * summary['average']:.1f} | | |"])


def _texts(config: FinetuningConfig) -> TextTaskConfig:
    assert isinstance(config.task, TextTaskConfig)
    return config.task
