"""The plots of runs, which need matplotlib (the extra `plot`)."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.reports.series import metric_names, shown_names

_COLUMNS = 3


class RunFigure(Figure):
    """A figure that belongs to no window and no global state, and that notebooks show as it is."""

    def _repr_png_(self) -> bytes:
        image = io.BytesIO()
        self.savefig(image, format="png")
        return image.getvalue()


def plot_histories(histories: Mapping[str, Sequence[Mapping[str, Any]]], metrics: Sequence[str] = ()) -> Figure:
    """Return a figure with an axis for each metric, over the steps.

    Args:
        histories: the reports of each run, by the run's label.
        metrics: the names of the metrics; () for losses and scores.

    Raises:
        ValueError: no report has one of the metrics.
    """
    reports = [report for history in histories.values() for report in history]
    names = metric_names(reports)
    unknown = [metric for metric in metrics if metric not in names]
    if unknown:
        raise ValueError(f"`metrics` must be some of {', '.join(names)}. Received: {unknown[0]!r}")
    shown = list(metrics) or shown_names(reports)
    columns = min(len(shown), _COLUMNS) or 1
    rows = -(-len(shown) // columns) or 1
    figure = RunFigure(figsize=(4.0 * columns, 3.0 * rows), layout="constrained")
    for number, metric in enumerate(shown, 1):
        axis = figure.add_subplot(rows, columns, number)
        for label, history in histories.items():
            for kind, word in (("train", "training"), ("eval", "evaluation")):
                found = [report for report in history if report["kind"] == kind and metric in report]
                steps, values = [report["step"] for report in found], [report[metric] for report in found]
                if found:
                    axis.plot(steps, values, marker=".", label=", ".join(filter(None, [label, word])))
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.set_xlabel("step")
        axis.set_title(metric)
        axis.legend()
    return figure
