"""The pictures of explanations, which need matplotlib (the extra `plot`)."""

import io
import os
from collections.abc import Sequence
from typing import Any

from bert_tf.utils import files

try:
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError("`png_dir` needs matplotlib: pip install 'bert_tf[plot]'") from error


def save_plots(explanations: Sequence[dict[str, Any]], folder: str) -> None:
    """Write one picture of each explanation, `000.png`, `001.png`, ...: a bar for each token.

    Args:
        explanations: what `Predictor.explain` returned.
        folder: the folder, which is made if it is missing.
    """
    files.make_folder(folder)
    for number, explanation in enumerate(explanations):
        contents = io.BytesIO()
        plot(explanation).savefig(contents, format="png", dpi=120, bbox_inches="tight")
        files.write_bytes(os.path.join(folder, f"{number:03d}.png"), contents.getvalue())


def plot(explanation: dict[str, Any]) -> Figure:
    """Return a figure with the attributions of an explanation, the first token at the top."""
    tokens = explanation["tokens"]
    values = [token["attribution"] for token in tokens]
    figure = Figure(figsize=(6.0, 1.0 + 0.22 * len(tokens)))
    axes = figure.add_subplot()
    axes.barh(range(len(tokens)), values, color=["#c83c1e" if value >= 0.0 else "#285ac8" for value in values])
    axes.set_yticks(range(len(tokens)), [token["token"] for token in tokens])
    axes.invert_yaxis()
    axes.axvline(0.0, color="gray", linewidth=0.8)
    axes.set_xlabel("attribution")
    axes.set_title(f"{explanation['target']}: {explanation['value']:.3f}")
    return figure
