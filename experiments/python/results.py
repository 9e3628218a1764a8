"""The results of trainings that were started from Python: scores, history, predictor and plot."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bert_tf.runs.metrics_log import read_reports
from bert_tf.runs.result import gain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bert_tf.serving.predictor import Predictor


@dataclasses.dataclass(frozen=True, repr=False)
class TrainingResult:
    """A finished training.

    Attributes:
        run_dir: the run's folder.
        scores: loss and scores as the launcher prints them, by name.
        settings: the fields that a grid changed for this run, by dotted name.
        seed: the random seed.
    """

    run_dir: str
    scores: dict[str, Any]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} in {self.run_dir!r}: {_shown(self.scores)}>"

    @property
    def history(self) -> list[dict[str, Any]]:
        """All reports of the run, in their order: each has its `kind` (`train` or `eval`), `step` and metrics."""
        return read_reports(self.run_dir)

    @property
    def runs(self) -> "Sequence[TrainingResult]":
        """This run alone, as a `SweepResult` has all of its runs."""
        return (self,)

    def predictor(self) -> "Predictor":
        """Return the predictor of the trained model, as `bert_tf.load` does."""
        from bert_tf.serving.predictor import load

        return load(self.run_dir)

    def plot(self, *metrics: str) -> "Figure":
        """Return a figure of `matplotlib` with the run's metrics over its steps.

        Args:
            *metrics: the names of the metrics, as `history` has them; by default the losses and scores.

        Raises:
            ImportError: `matplotlib` is not installed.
            ValueError: no report has one of the metrics.
        """
        return _figure({"": self.history}, metrics)


@dataclasses.dataclass(frozen=True, repr=False)
class SweepResult:
    """The finished trainings of several seeds, or of a grid.

    Attributes:
        output_dir: the folder of all runs.
        score: the name of the score that decides which point of the grid is the best.
        points: the points of the grid, best first: `settings`, `seeds` and, for each score, `mean`, `deviation` and
            `values`, as `summary.json` has them.
        runs: the runs, in the order in which they were made.
    """

    output_dir: str
    score: str
    points: Sequence[Mapping[str, Any]]
    runs: Sequence[TrainingResult]

    def __repr__(self) -> str:
        mean, deviation = self.scores.get(self.score), self.deviation.get(self.score)
        settings = "".join(f", {name}={value}" for name, value in self.points[0]["settings"].items())
        return (
            f"<{type(self).__name__} in {self.output_dir!r}: {len(self.runs)} runs, "
            f"best {self.score} {mean:.4g} ± {deviation:.2g}{settings}>"
        )

    @property
    def summary(self) -> dict[str, Any]:
        """The content of `summary.json`."""
        return {"score": self.score, "points": list(self.points)}

    @property
    def scores(self) -> dict[str, float]:
        """The mean of each score over the seeds, at the best point."""
        return self.points[0]["mean"]

    @property
    def deviation(self) -> dict[str, float]:
        """The standard deviation of each score over the seeds, at the best point."""
        return self.points[0]["deviation"]

    @property
    def best(self) -> TrainingResult:
        """The run with the best score among those of the best point."""
        settings = self.points[0]["settings"]
        candidates = [run for run in self.runs if run.settings == settings]
        return max(candidates, key=lambda run: gain(self.score, run.scores[self.score]))

    @property
    def run_dir(self) -> str:
        """The folder of the best run."""
        return self.best.run_dir

    @property
    def history(self) -> list[dict[str, Any]]:
        """The reports of the best run; each of `runs` has its own."""
        return self.best.history

    def predictor(self) -> "Predictor":
        """Return the predictor of the best run's model."""
        return self.best.predictor()

    def plot(self, *metrics: str) -> "Figure":
        """Return a figure with the metrics of all runs, by default the score (`TrainingResult.plot`)."""
        histories = {
            ", ".join([*(f"{name}={value}" for name, value in run.settings.items()), f"seed {run.seed}"]): run.history
            for run in self.runs
        }
        return _figure(histories, metrics or (self.score,))


def _figure(histories: Mapping[str, Sequence[Mapping[str, Any]]], metrics: Sequence[str]) -> "Figure":
    try:
        from experiments.python.plots import plot_histories
    except ImportError as error:
        if error.name is None or not error.name.startswith("matplotlib"):
            raise
        raise ImportError("`plot` needs matplotlib: pip install 'bert_tf[plot]'") from None
    return plot_histories(histories, metrics)


def _shown(scores: Mapping[str, Any]) -> str:
    """Return the scores that are numbers, without those for which the examples hold nothing, which are NaN."""
    numbers = {name: value for name, value in scores.items() if isinstance(value, int | float) and value == value}
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
