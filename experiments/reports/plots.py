"""The pictures of a report as PNG files, which need matplotlib (the extra `plot`)."""

import io
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bert_tf.utils import files

# Fonts that have ideographs, where one is installed; matplotlib draws no letters from right to left.
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "WenQuanYi Zen Hei",
    "Noto Sans Hebrew",
    "Noto Sans Arabic",
)


def save_plots(contents: Mapping[str, Any], folder: str) -> None:
    """Write the curves, heat maps, confusion matrices and reliability diagrams of a report.

    Args:
        contents: what the page shows (`writing.write_report`).
        folder: the folder, which is made if it is missing.
    """
    files.make_folder(folder)
    known = {font.name for font in font_manager.fontManager.ttflist}
    with matplotlib.rc_context({"font.family": [name for name in _FONTS if name in known]}):
        for name, figure in _figures(contents).items():
            save(figure, os.path.join(folder, f"{re.sub(r'[^0-9A-Za-z]+', '_', name).strip('_')}.png"))


def _figures(contents: Mapping[str, Any]) -> dict[str, Figure]:
    names = [curve["name"] for curve in contents["curves"]]
    figures = {f"curve {panel['title']}": curve_figure(panel, names) for panel in contents["panels"]}
    for number, one in enumerate(contents["heat_maps"]):
        figures[f"grid {number}"] = heat_map_figure(one)
    for one in contents["behaviours"]:
        name = f"{one['curve']} {one['member']}"
        if "confusion_matrix" in one["scores"]:
            figures[f"confusion {name}"] = confusion_figure(one["scores"]["confusion_matrix"])
        if "calibration" in one:
            figures[f"reliability {name}"] = reliability_figure(one["calibration"])
    return figures


def save(figure: Figure, path: str) -> None:
    """Write a figure as a PNG file."""
    contents = io.BytesIO()
    figure.savefig(contents, format="png", dpi=120, bbox_inches="tight")
    files.write_bytes(path, contents.getvalue())


def curve_figure(panel: Mapping[str, Any], names: Sequence[str]) -> Figure:
    """Return a figure of one of `series.panels`; the band of several seeds is shaded."""
    figure = Figure(figsize=(6.0, 4.0))
    axes = figure.add_subplot()
    for one in panel["series"]:
        steps, values, *band = zip(*one["points"], strict=True)
        label = _plain(f"{names[one['curve']]}, {one['kind']}")
        marker, width = (".", 1.5) if one["kind"] == "evaluation" else (None, 0.9)
        axes.plot(steps, values, color=f"C{one['curve'] % 10}", label=label, marker=marker, linewidth=width)
        if band:
            axes.fill_between(steps, band[0], band[1], color=f"C{one['curve'] % 10}", alpha=0.2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="step", title=_plain(panel["title"]))
    axes.legend(fontsize="small")
    return figure


def heat_map_figure(heat_map: Mapping[str, Any]) -> Figure:
    """Return a figure of one of `grids.heat_maps`."""
    texts = [[_cell(cell) for cell in row] for row in heat_map["cells"]]
    shares = [[cell["share"] if cell else 0.0 for cell in row] for row in heat_map["cells"]]
    names = (heat_map["row_name"], heat_map["column_name"])
    return _matrix(heat_map["title"], names, heat_map["rows"], heat_map["columns"], shares, texts)


def confusion_figure(matrix: Mapping[str, Any]) -> Figure:
    """Return a figure of a confusion matrix (`scoring.texts.classification_scores`), coloured by the share of a row."""
    labels, counts = matrix["labels"], matrix["counts"]
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    texts = [[str(count) for count in row] for row in counts]
    return _matrix("confusion matrix", ("true", "predicted"), labels, labels, shares, texts)


def reliability_figure(calibration: Mapping[str, Any]) -> Figure:
    """Return the reliability diagram of `scoring.behaviour.calibration`: accuracy against confidence."""
    figure = Figure(figsize=(4.5, 4.5))
    axes = figure.add_subplot()
    bins = calibration["bins"]
    axes.plot([0.0, 1.0], [0.0, 1.0], color="gray", linewidth=0.8)
    axes.bar(
        [(one["low"] + one["high"]) / 2.0 for one in bins],
        [one["accuracy"] for one in bins],
        width=0.09,
        color="#4c78a8",
    )
    axes.set(xlim=(0.0, 1.0), ylim=(0.0, 1.0), xlabel="confidence", ylabel="accuracy")
    axes.set_title(f"expected calibration error {calibration['ece']:.4f}")
    return figure


def _matrix(
    title: str,
    names: tuple[str, str],
    rows: Sequence[str],
    columns: Sequence[str],
    shares: Sequence[Sequence[float]],
    texts: Sequence[Sequence[str]],
) -> Figure:
    figure = Figure(figsize=(2.0 + 1.0 * len(columns), 1.5 + 0.5 * len(rows)))
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.6, aspect="auto")  # light enough for black figures
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            axes.text(column, row, text, ha="center", va="center", fontsize="small")
    axes.set_xticks(range(len(columns)), [_plain(name) for name in columns])
    axes.set_yticks(range(len(rows)), [_plain(name) for name in rows])
    axes.set(xlabel=_plain(names[1]), ylabel=_plain(names[0]), title=_plain(title))
    return figure


def _cell(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return "not run"
    return f"{cell['mean']:.4g}" + ("" if cell["deviation"] is None else f" ± {cell['deviation']:.2g}")


def _plain(text: str) -> str:
    """Return a text that matplotlib does not read as a formula."""
    return text.replace("$", r"\$")
