"""The heat maps of a grid: the score of each point, in rows and columns of settings."""

import itertools
import math
from typing import Any

from bert_tf.runs.result import gain
from experiments.reports.runs import Sweep
from experiments.reports.series import mean_and_deviation


def heat_maps(sweep: Sweep) -> list[dict[str, Any]]:
    """Return the heat maps of a grid, a single row for one field; none for seeds alone.

    The last field of the grid is in the columns, the one before it in the rows. Each combination of all other fields
    has a map of its own.

    Returns:
        Dictionaries of `title`, `row_name`, `column_name`, `rows`, `columns` and `cells`. A cell has `mean`,
        `deviation` (None for one seed), `seeds`, `share` (0 for the worst point of the grid, 1 for the best) and
        `best`; it is None where no run is finished.
    """
    fields = list(sweep.points[0]["settings"])
    if not fields:
        return []
    summaries = _of_seeds(sweep)
    gains = [gain(sweep.score, mean) for mean, _ in summaries]
    finite = [value for value in gains if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    cells = {
        tuple(str(point["settings"][field]) for field in fields): {
            "mean": mean,
            "deviation": deviation,
            "seeds": len(point["values"].get(sweep.score, [])),
            "share": 0.0 if not math.isfinite(value) else (value - low) / (high - low) if high > low else 1.0,
            "best": value == high,
        }
        for point, (mean, deviation), value in zip(sweep.points, summaries, gains, strict=True)
    }
    values = [list(dict.fromkeys(key[place] for key in cells)) for place in range(len(fields))]
    *others, row_name, column_name = ["", *fields] if len(fields) == 1 else fields
    *outer, rows, columns = [[""], *values] if len(fields) == 1 else values
    return [
        {
            "title": ", ".join(
                [f"{sweep.name}: {sweep.score}", *(f"{a}={b}" for a, b in zip(others, fixed, strict=True))]
            ),
            "row_name": row_name,
            "column_name": column_name,
            "rows": rows,
            "columns": columns,
            "cells": [
                [cells.get((*fixed, row, column) if len(fields) > 1 else (column,)) for column in columns]
                for row in rows
            ],
        }
        for fixed in itertools.product(*outer)
    ]


def _of_seeds(sweep: Sweep) -> list[tuple[float, float | None]]:
    """Return mean and deviation of each point's score."""
    return [mean_and_deviation(point["values"].get(sweep.score, [])) for point in sweep.points]


def worse_points(sweep: Sweep) -> set[int]:
    """Return the indices of the curves of all points but the best, which is the first of equal ones."""
    gains = [gain(sweep.score, mean) for mean, _ in _of_seeds(sweep)]
    return {sweep.first + place for place in range(len(gains)) if place != gains.index(max(gains))}
