"""The runs that a report shows: folders of runs, and folders of seeds and grids with their runs."""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from bert_tf.configs import FinetuningConfig
from bert_tf.runs.descriptions import RunDescription
from bert_tf.runs.folder import CONFIG_FILE, read_run
from bert_tf.runs.metrics_log import read_reports
from bert_tf.runs.result import best_evaluation, gain, has_best
from bert_tf.tasks import trainable_of
from bert_tf.training.sweeps import RESULTS_FILE, SUMMARY_FILE, folder_of
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed


@dataclasses.dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        folder: its folder.
        description: its description.
        reports: the reports of its log, in their order.
    """

    folder: str
    description: RunDescription
    reports: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, folder: str) -> "Run":
        """Read a run's folder. Errors are those of `read_run`."""
        return cls(folder, read_run(folder)[0], read_reports(folder))

    @property
    def score(self) -> str:
        """The metric by which evaluations of the run are compared."""
        config = self.description.config()
        if isinstance(config, FinetuningConfig):
            return config.metric or trainable_of(config.task).main_score(self.description.labels)
        return "masked_lm_loss"

    def result(self) -> tuple[str, Mapping[str, Any]] | None:
        """Return `best` or `last`, and the report of the evaluation of the run's result; None without evaluations."""
        evaluations = [report for report in self.reports if report["kind"] == "eval"]
        if not evaluations:
            return None
        if has_best(self.folder) and all(self.score in report for report in evaluations):
            return "best", evaluations[best_evaluation([(one["step"], dict(one)) for one in evaluations], self.score)]
        return "last", evaluations[-1]


@dataclasses.dataclass(frozen=True)
class Curve:
    """A curve's source, drawn in one colour: a run, or the runs of several seeds.

    Attributes:
        name: the name in the report.
        runs: the runs, at least one.
    """

    name: str
    runs: Sequence[Run]

    @property
    def task(self) -> str:
        """The kind of the runs' task."""
        return self.runs[0].description.task

    def kinds(self) -> list[str]:
        """Return the kinds of the tasks that the runs are for, of several tasks those of each."""
        config = self.runs[0].description.config()
        if not isinstance(config, FinetuningConfig):
            return [self.task]
        return [task.kind for task in config.task.by_name().values()]

    def best_run(self) -> Run:
        """Return the run of the seed with the best score."""

        def score_of(run: Run) -> float:
            result = run.result()
            return gain(run.score, result[1].get(run.score, math.nan)) if result else -math.inf

        return max(self.runs, key=score_of)


Numbered = Sequence[tuple[int, Curve]]
"""Curves with their indices in the report."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The folder of seeds and of a grid.

    Attributes:
        name: the name in the report.
        score: the score that decides which point is the best.
        points: the points of the grid with their `settings` and, for each score, its `values` over the seeds.
        first: the index of the curve of the first point; those of the others follow.
        finished: whether all of its runs are.
    """

    name: str
    score: str
    points: Sequence[Mapping[str, Any]]
    first: int
    finished: bool


def read_curves(paths: Sequence[str]) -> tuple[list[Curve], list[Sweep]]:
    """Return the curves and the sweeps of folders. A folder of seeds and grids gives a curve for each of its points.

    Args:
        paths: folders of runs, or of seeds and grids.

    Raises:
        FileNotFoundError: a path is no such folder.
        ValueError: a path is given twice, or a description is damaged. Messages name `model_dir`.
    """
    if not paths or len(set(paths)) < len(paths):
        raise ValueError(f"`model_dir` must be one folder or several different ones. Received: {','.join(paths)!r}")
    curves: list[Curve] = []
    sweeps: list[Sweep] = []
    for path, name in zip(paths, _short_names(paths), strict=True):
        if files.exists(os.path.join(path, RESULTS_FILE)) and not files.exists(os.path.join(path, CONFIG_FILE)):
            found, sweep = _read_sweep(path, name, first=len(curves))
            curves += found
            sweeps.append(sweep)
        elif files.exists(os.path.join(path, CONFIG_FILE)):
            with renamed(run_dir="model_dir"):
                curves.append(Curve(name, [Run.read(path)]))
        else:
            raise FileNotFoundError(
                f"`model_dir` must be a run's folder, with a {CONFIG_FILE}, or a folder of seeds or of a grid, with a "
                f"{RESULTS_FILE}. Received: {path!r}"
            )
    return curves, sweeps


def _short_names(paths: Sequence[str]) -> list[str]:
    """Return the last part of each path, or whole paths where two would have the same name."""
    short = [os.path.basename(path.rstrip("/")) or path for path in paths]
    return short if len(set(short)) == len(short) else list(paths)


def _read_sweep(path: str, name: str, *, first: int) -> tuple[list[Curve], Sweep]:
    lines = files.read_json_lines(os.path.join(path, RESULTS_FILE))
    if not lines or not all(isinstance(line, dict) and {"settings", "seed"} <= line.keys() for line in lines):
        raise ValueError(f"`model_dir` must hold finished runs in its {RESULTS_FILE}. Received: {path!r}")
    points: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        points.setdefault(folder_of(line["settings"]), []).append(line)
    curves = []
    for point, of_point in points.items():
        folders = [os.path.join(path, point, f"seed-{line['seed']}") for line in of_point]
        with renamed(run_dir="model_dir"):
            curves.append(Curve(f"{name}: {point}" if point else name, [Run.read(folder) for folder in folders]))
    summary = os.path.join(path, SUMMARY_FILE)
    finished = files.exists(summary)
    return curves, Sweep(
        name,
        files.read_json(summary)["score"] if finished else curves[0].runs[0].score,
        [
            {
                "settings": of_point[0]["settings"],
                "values": {
                    score: [line.get(score) for line in of_point]
                    for score in of_point[0]
                    if score not in ("settings", "seed")
                },
            }
            for of_point in points.values()
        ],
        first,
        finished,
    )
