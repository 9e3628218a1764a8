"""The page that describes an exported model (Mitchell et al. 2019, "Model Cards for Model Reporting")."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from bert_tf.runs import folder as run_folder
from bert_tf.runs.descriptions import ModelDescription
from bert_tf.training.finetuning import SCORES_FILE
from bert_tf.utils import files, json_text

CARD_FILE = "MODEL_CARD.md"
UNKNOWN = "not stated"

_LICENSE_LINE = re.compile(r"license:\s*[\"']?([^\"'\n]+)")


def weights_license(*sources: Any) -> str:
    """Return the licence that the `README.md` of one of the folders names, as on the Hugging Face hub.

    Args:
        sources: folders, the nearest first; anything else is skipped.

    Returns:
        The licence's name, such as `apache-2.0`, or `UNKNOWN`.
    """
    for source in sources:
        path = os.path.join(source, "README.md") if isinstance(source, str) and source else ""
        if path and not path.startswith("hf://") and files.exists(path):
            lines = files.read_text(path).split("\n")
            # The page begins with settings between two lines of ---.
            header = lines[1 : lines.index("---", 1)] if lines[0] == "---" and "---" in lines[1:] else []
            found = [match[1].strip() for line in header if (match := _LICENSE_LINE.match(line))]
            if found:
                return found[0]
    return UNKNOWN


def git_revision() -> str:
    """Return the git revision of this code, with `-dirty` if files differ from it; `UNKNOWN` outside of git."""
    folder = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True, check=True, text=True, timeout=20,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return done.stdout.strip()


def run_metrics(path: str) -> dict[str, float]:
    """Return the numeric metrics of a run's last evaluation; none if there is no run or no evaluation."""
    scores, log = os.path.join(path, SCORES_FILE), os.path.join(path, run_folder.METRICS_FILE)
    metrics: dict[str, Any] = {}
    if files.exists(scores):
        metrics = files.read_json(scores)
    elif files.exists(log):
        for report in files.read_json_lines(log):
            if report["kind"] == "eval":
                metrics = report
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}


def card(
    description: ModelDescription,
    source: str,
    license_name: str,
    *,
    metrics: Mapping[str, float],
    details: Mapping[str, Any],
    scores: Mapping[str, Mapping[str, float]] | None = None,
) -> str:
    """Return the page, in Markdown.

    Args:
        description: the description of the run that trained the model.
        source: the path or the name of the weights.
        license_name: the licence of the weights.
        metrics: the metrics of the run's last evaluation.
        details: further lines of the first table, by name.
        scores: the scores of each exported variant on the same evaluation data, by the variant's name. The others are
            compared with the first.
    """
    encoder = description.model
    rows = {
        "task": description.task,
        "weights": source,
        **_teacher(description),
        "licence of the weights": license_name,
        "encoder": f"{encoder.num_layers} layers of {encoder.hidden_size}, {encoder.num_heads} heads",
        "vocabulary": f"{encoder.vocab_size} tokens, {'un' if description.do_lower_case else ''}cased, "
        f"{f'{options}, ' if (options := str(description.tokenizer_options)) else ''}SHA-256 {description.vocab_hash}",
        "longest row": f"{description.max_seq_length} tokens",
        "labels": ", ".join(description.labels) or "none",
        "exported by": f"bert_tf at git revision {git_revision()}, TensorFlow {tf.__version__}",
        **details,
    }
    table = "".join(f"| {name} | {_cell(value)} |\n" for name, value in rows.items())
    lines = "".join(f"| {name} | {value:.6g} |\n" for name, value in metrics.items())
    measured = f"| metric | value |\n| --- | --- |\n{lines}" if lines else "None are known.\n"
    return (
        f"# Model card\n\n| | |\n| --- | --- |\n{table}\n"
        f"## Metrics\n\nThe run's last evaluation, on its own evaluation data.\n\n{measured}\n"
        f"{_comparison(scores) if scores else ''}"
        f"## Data\n\n{_json(description.data)}\n"
        f"## Configuration\n\n{_json({'model': encoder.to_dict(), 'experiment': description.experiment})}"
    )


def _teacher(description: ModelDescription) -> dict[str, str]:
    """Return the line that names the teacher of a distilled model."""
    teacher = (description.experiment.get("distill") or {}).get("teacher")
    return {"distilled from": teacher} if teacher else {}


def _comparison(scores: Mapping[str, Mapping[str, float]]) -> str:
    """Return a table with a line for each variant, and its differences from the first."""
    first = next(iter(scores.values()))
    lines = []
    for name, values in scores.items():
        cells = [
            f"{values[score]:.6g}" + ("" if values is first else f" ({values[score] - first[score]:+.2g})")
            for score in first
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |\n")
    heads = f"| | {' | '.join(first)} |\n|{' --- |' * (len(first) + 1)}\n"
    return f"## What was exported, on the evaluation data\n\n{heads}{''.join(lines)}\n"


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _json(value: Any) -> str:
    return f"```json\n{json_text.dumps(value, indent=2)}\n```\n"
