"""The curves of metrics over the steps: their names, and their points for pictures."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.reports.runs import Curve

MAX_POINTS = 1000
"""The points of a line; a longer log is thinned out, because a picture has fewer pixels."""

SECTIONS: Mapping[str, Sequence[str]] = {
    "Learning rate and norms": ("learning_rate", "gradient_norm", "weight_norm", "skipped_steps"),
    "Speed and memory": (
        "tokens_per_second",
        "steps_per_second",
        "peak_flops_share",
        "input_wait_share",
        "host_memory_gib",
        "device_memory_gib",
    ),
}
"""The metrics that runs of all kinds share, by section; all others are losses and scores of one kind."""

SCORES = "Losses and scores"


def section_of(name: str) -> str:
    """Return the section of a loss or a score: one for each of several tasks, in whose names it stands first.

    >>> section_of("ner/f1")
    'Losses and scores of ner'
    """
    member, _, _ = name.rpartition("/")
    return f"{SCORES} of {member}" if member else SCORES


def metric_names(reports: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of all metrics that are numbers, in their order."""
    return list(
        dict.fromkeys(
            name
            for report in reports
            for name, value in report.items()
            if name not in ("kind", "step") and isinstance(value, int | float)
        )
    )


def shown_names(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the losses, and of all that is evaluated."""
    evaluated = {name for report in reports if report["kind"] == "eval" for name in report}
    return [name for name in metric_names(reports) if name in evaluated or name.endswith("loss")]


def mean_and_deviation(values: Sequence[float | None]) -> tuple[float, float | None]:
    """Return the mean over the seeds, nan if one has no value, and the deviation, None if it is not defined."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known or len(known) < len(values):
        return math.nan, None
    return statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None


def panels(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """Return the pictures of the curves. Losses and scores share a picture only with runs of their own kind.

    Returns:
        Dictionaries of `section`, `title` and `series`. A series has its `curve` (an index), its `kind` (`training` or
        `evaluation`), `seeds` (their number) and `points`: [step, value] or, for several seeds, [step, mean, lowest,
        highest].
    """
    found: list[dict[str, Any]] = []
    kinds = list(dict.fromkeys(curve.task for curve in curves))
    for kind in kinds:
        own = [(index, curve) for index, curve in enumerate(curves) if curve.task == kind]
        reports = [report for _, curve in own for run in curve.runs for report in run.reports]
        common = [name for names in SECTIONS.values() for name in names]
        for name in shown_names(reports):
            if name not in common:
                title = name if len(kinds) == 1 else f"{name} ({kind.replace('_', ' ')})"
                found.append(_panel(section_of(name), title, name, own))
    found += [
        _panel(section, name, name, list(enumerate(curves))) for section, names in SECTIONS.items() for name in names
    ]
    return [panel for panel in found if panel["series"]]


def _panel(section: str, title: str, metric: str, curves: Sequence[tuple[int, Curve]]) -> dict[str, Any]:
    series = []
    for index, curve in curves:
        for kind, word in (("train", "training"), ("eval", "evaluation")):
            points = _points([_values(run.reports, kind, metric) for run in curve.runs])
            if any(math.isfinite(value) for _, value, *_ in points):
                series.append({"curve": index, "kind": word, "seeds": len(curve.runs), "points": _thinned(points)})
    return {"section": section, "title": title, "series": series}


def _values(reports: Sequence[Mapping[str, Any]], kind: str, metric: str) -> dict[int, float]:
    return {report["step"]: report[metric] for report in reports if report["kind"] == kind and metric in report}


def _points(runs: Sequence[Mapping[int, float]]) -> list[list[float]]:
    """Return the points at those steps which every seed has reported."""
    if len(runs) == 1:
        return [[step, value] for step, value in runs[0].items()]
    points: list[list[float]] = []
    for step in runs[0]:
        if all(step in run for run in runs):
            values = [run[step] for run in runs]
            points.append([step, statistics.fmean(values), min(values), max(values)])
    return points


def _thinned(points: list[list[float]]) -> list[list[float]]:
    every = -(-len(points) // MAX_POINTS)
    return points if every == 1 else [*points[:-1:every], points[-1]]
