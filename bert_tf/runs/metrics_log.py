"""The log of a run: `metrics.jsonl`, with a line for each report, and TensorBoard's event files."""

import json
import math
import os
from collections.abc import Iterator
from typing import Any

from bert_tf.utils import files, json_text

METRICS_FILE = "metrics.jsonl"

Evaluation = tuple[int, dict[str, Any]]
"""The step of an evaluation, and its metrics."""


class MetricsLog:
    """The log of one run, cut back to the step from which the run continues.

    Args:
        run_dir: the run's folder.
        start: the step from which the run continues. Reports of later steps are dropped, because these steps run again.
        writes: whether this process writes the log. Of several workers, only the chief does.
    """

    def __init__(self, run_dir: str, start: int, writes: bool = True) -> None:
        self._path = os.path.join(run_dir, METRICS_FILE)
        self._run_dir = run_dir
        self._writers: dict[str, Any] = {}
        self._writes = writes
        self._cut_back(start)

    def _cut_back(self, start: int) -> None:
        text = files.read_text(self._path) if files.exists(self._path) else ""
        kept = [(line, report) for line, report in _reports_of(text) if report["step"] <= start]
        self._reports = [report for _, report in kept]
        whole = "".join(f"{line}\n" for line, _ in kept)
        if whole != text and self._writes:
            files.write_text(self._path, whole)

    def evaluations(self) -> list[Evaluation]:
        """Return all evaluations so far, in order."""
        return [_evaluation_of(report) for report in self._reports if report["kind"] == "eval"]

    def metrics(self, kind: str, step: int) -> dict[str, Any]:
        """Return the metrics that were written for this step, or {} if there are none."""
        for report in reversed(self._reports):
            if (report["kind"], report["step"]) == (kind, step):
                return _evaluation_of(report)[1]
        return {}

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Append a report.

        Args:
            kind: `train` or `eval`.
            step: number of updates made.
            values: the metrics.

        Raises:
            OSError: the log cannot be written.
        """
        report = {"kind": kind, "step": step} | values
        self._reports.append(report)
        if self._writes:
            files.append_text(self._path, json_text.dumps(report) + "\n")
            self._write_summaries(kind, step, values)

    def _write_summaries(self, kind: str, step: int, values: dict[str, Any]) -> None:
        import tensorflow as tf  # here, so that logs can be read without it

        if kind not in self._writers:
            self._writers[kind] = tf.summary.create_file_writer(os.path.join(self._run_dir, kind))
        # The plug-in is named here, because `tf.summary.scalar` would need the tensorboard package for its name.
        metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        )
        with self._writers[kind].as_default():
            for name, value in values.items():
                if isinstance(value, dict):
                    continue  # a table, such as the confusion matrix
                tf.summary.write(name, tf.constant(value, tf.float32), step=step, metadata=metadata)
        self._writers[kind].flush()


def _reports_of(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the lines of a log and what they report."""
    for line in text.splitlines():
        try:
            report = json.loads(line)
        except json.JSONDecodeError:
            break  # the last line, which a killed run was still writing
        # JSON has no NaN, so a score without a value is written as null.
        yield line, {name: math.nan if value is None else value for name, value in report.items()}


def read_reports(run_dir: str) -> list[dict[str, Any]]:
    """Return the reports of a run, in their order; none for a run that has not reported yet.

    Each report has its `kind` (`train` or `eval`), its `step` and the metrics.
    """
    path = os.path.join(run_dir, METRICS_FILE)
    return [report for _, report in _reports_of(files.read_text(path))] if files.exists(path) else []


def _evaluation_of(report: dict[str, Any]) -> Evaluation:
    return report["step"], {name: value for name, value in report.items() if name not in ("kind", "step")}
