"""How fast training goes, and what it waits for: the figures that a clock tells, beside those of learning."""

import contextlib
import dataclasses
import resource
import sys
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from keras import ops

from bert_tf.objectives.losses import Sums
from bert_tf.objectives.objective import Batch, Objective

TOKENS = "tokens_per_row"
"""Among a step's figures: the tokens that are no padding, and the rows they stand in."""

ROW_LENGTH = "row_length"
"""Another: the places of all rows, padding included, and the rows."""

TIMING_FIGURES = (
    "steps_per_second",
    "tokens_per_second",
    "input_wait_share",
    "peak_flops_share",
    "host_memory_gib",
    "device_memory_gib",
)
"""What differs between two runs that learn the same."""

_GIB = 2.0**30
_UNIT_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024


def counting_tokens(objective: Objective) -> Objective:
    """The objective with `TOKENS` and `ROW_LENGTH` beside it: one reduction sums them over replicas with the rest."""

    def figures(batch: Batch) -> Sums:
        mask = batch["input_mask"]
        tokens = ops.sum(ops.cast(ops.not_equal(mask, 0), "float32"))
        rows, length = (ops.cast(size, "float32") for size in ops.shape(mask))
        return {TOKENS: (tokens, rows), ROW_LENGTH: (rows * length, rows)}

    return dataclasses.replace(objective, batch_figures=figures)


class Meter:
    """Adds up what the steps since the last report took, evaluations and checkpoints between them left out.

    Args:
        step_flops: of the length of a step's rows: its floating-point operations, over all replicas; None where nobody
            counted them.
        peak_flops: that the replicas together could make in a second; 0 where it is unknown.
    """

    def __init__(self, step_flops: Callable[[int], float] | None = None, peak_flops: float = 0.0) -> None:
        self._step_flops = step_flops
        self._peak_flops = peak_flops
        self._is_traced = False
        self._clear()

    def _clear(self) -> None:
        self._steps = 0
        self._tokens = 0.0
        self._flops = 0.0
        self._seconds = 0.0
        self._waited = 0.0
        self._has_tracing = False

    def add(self, names: Sequence[str], figures: np.ndarray, seconds: float, waited: float) -> None:
        """What one run of the inner loop took.

        The first includes tracing and compiling: it counts only in a report that has no other.

        Args:
            names: of the figures, `TOKENS` and `ROW_LENGTH` among them.
            figures: of the steps that were made, (sum, weight) pairs, float [steps, names, 2].
            seconds: from call to return.
            waited: seconds of them in which the device waited for input.
        """
        if self._has_tracing:
            self._clear()
        self._has_tracing, self._is_traced = not self._is_traced, True
        self._steps += len(figures)
        self._tokens += float(figures[:, names.index(TOKENS), 0].sum())
        if self._step_flops is not None:
            places, rows = figures[:, names.index(ROW_LENGTH)].T
            self._flops += sum(map(self._step_flops, np.rint(places / rows).astype(int).tolist()))
        self._seconds += seconds
        self._waited += waited

    def report(self) -> dict[str, float]:
        """The figures since the last report, `TIMING_FIGURES`, as far as they are known.

        `steps_per_second`; `tokens_per_second`, without padding; `input_wait_share` of the time; `peak_flops_share`,
        what the steps' products needed of the peak; `host_memory_gib` and `device_memory_gib`, the most that this
        process, and the first GPU or TPU core, have held so far.
        """
        seconds = max(self._seconds, 1e-9)
        figures = {
            "steps_per_second": self._steps / seconds,
            "tokens_per_second": self._tokens / seconds,
            "input_wait_share": self._waited / seconds,
        }
        if self._flops and self._peak_flops:
            figures["peak_flops_share"] = self._flops / seconds / self._peak_flops
        self._clear()
        return figures | _memory()


def _memory() -> dict[str, float]:
    figures = {"host_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT_OF_MAXRSS / _GIB}
    for kind in ("GPU", "TPU"):
        if tf.config.list_logical_devices(kind):
            with contextlib.suppress(ValueError, tf.errors.OpError):  # not every device tells
                figures["device_memory_gib"] = tf.config.experimental.get_memory_info(f"{kind}:0")["peak"] / _GIB
    return figures
