"""The report of runs: its contents, its page, and its pictures."""

import importlib.util
import os
from collections.abc import Sequence
from typing import Any

from bert_tf.serving import html_page
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from experiments.reports import comparison
from experiments.reports.grids import heat_maps, worse_points
from experiments.reports.runs import Curve, Sweep, read_curves
from experiments.reports.series import panels

NUM_ROWS = 8


def write_report(
    model_dirs: Sequence[str],
    output: str,
    *,
    eval_data: str | None = None,
    records: str | None = None,
    png_dir: str | None = None,
    num_rows: int = NUM_ROWS,
    perturbations: bool = True,
) -> list[str]:
    """Write a report of runs as one HTML page that needs no network, and return what it cannot show.

    Args:
        model_dirs: folders of runs, or of seeds and grids.
        output: the page.
        eval_data: a file of labelled examples for the fine-tuned runs.
        records: a record folder of held-out documents for the pre-trainings.
        png_dir: a folder for the pictures as PNG files, which needs matplotlib; None for none.
        num_rows: the number of rows of `records` to show.
        perturbations: whether the page shows how many answers small changes of the texts change.

    Raises:
        FileNotFoundError: a file or folder is missing.
        OSError: a file cannot be written.
        ValueError: a folder is not that of a run, no run has metrics, or the data suits no run. Nothing is written.
    """
    with renamed(folder="output"):
        files.require_writable_folder(os.path.dirname(output) or ".")
    if png_dir is not None:
        _require_matplotlib()
    curves, sweeps = read_curves(model_dirs)
    if not any(run.reports for curve in curves for run in curve.runs):
        raise ValueError(
            f"`model_dir` must have a run with metrics, but none has reported yet. Received: {','.join(model_dirs)!r}"
        )
    worse = {index for sweep in sweeps for index in worse_points(sweep)}
    asked = [(index, curve) for index, curve in enumerate(curves) if index not in worse]
    contents = _contents(curves, sweeps, eval_data, records)
    contents["behaviours"] = comparison.tables(asked)
    if eval_data is not None or records is not None:
        from experiments.reports import answers  # with the models, which folders and metrics alone do not need

        answers.check_answers(asked, eval_data, records)
        if records is not None:
            contents["masked"] = answers.all_masked_examples(asked, records, num_rows)
        if eval_data is not None:
            answered = answers.behaviours(asked, eval_data, perturbations=perturbations)
            has = {(one["curve"], one["member"]) for one in answered}
            others = [one for one in contents["behaviours"] if (one["curve"], one["member"]) not in has]
            contents["behaviours"] = answered + others
    page = html_page.filled("report_page.html", "Report", contents)
    if png_dir is not None:
        from experiments.reports.plots import save_plots

        with renamed(folder="png_dir"):
            save_plots(contents, png_dir)
    files.write_text(output, page)
    return list(contents["notes"])


def _contents(
    curves: Sequence[Curve], sweeps: Sequence[Sweep], eval_data: str | None, records: str | None
) -> dict[str, Any]:
    """Return what the page shows without a model, and notes about all of it."""
    missing = []
    kinds = dict.fromkeys(kind for curve in curves for kind in curve.kinds())
    if eval_data is None and any(kind not in ("pretraining", *comparison.NOT_ANSWERED) for kind in kinds):
        missing.append(
            "Reliability, slices by length and the worst errors need --eval_data, a file of labelled examples."
        )
    missing += [
        f"Answers of {kind} are not shown: {reason}."
        for kind, reason in comparison.NOT_ANSWERED.items()
        if kind in kinds
    ]
    if records is None and any(curve.task == "pretraining" for curve in curves):
        missing.append("Masked tokens with the guesses of the model need --records, a folder of held-out records.")
    several = [sweep for sweep in sweeps if len(sweep.points) > 1]
    if several:
        missing.append("Of a grid, the answers and tables of its best point alone are shown.")
    return {
        "about": f"Runs: {', '.join(curve.name for curve in curves)}.",
        "curves": [
            {
                "name": curve.name,
                "task": curve.task,
                "seeds": len(curve.runs),
                "steps": max((report["step"] for run in curve.runs for report in run.reports), default=0),
            }
            for curve in curves
        ],
        "notes": [*comparison.notes(curves, sweeps), *missing],
        "scores": comparison.scores(curves),
        "settings": comparison.settings(curves),
        "panels": panels(curves),
        "heat_maps": [one for sweep in sweeps for one in heat_maps(sweep)],
        "masked": [],
        "behaviours": [],
        "records": records,
    }


def _require_matplotlib() -> None:
    """Raise a ValueError if there is no matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError(
            "`png_dir` needs matplotlib: pip install 'bert_tf[plot]'. The page needs none: leave `png_dir` out"
        )
