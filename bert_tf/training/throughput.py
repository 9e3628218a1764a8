"""The speed of training, and what it waits for: the metrics of the clock, beside those of learning."""

import dataclasses
import resource
import sys
from collections.abc import Callable, Sequence

import numpy as np
from keras import ops

from bert_tf.features import Batch
from bert_tf.objectives.losses import Sums
from bert_tf.objectives.objective import Objective

TOKENS = "tokens_per_row"
"""A metric of each step: the tokens without padding, over the rows that hold them."""

ROW_LENGTH = "row_length"
"""Another metric of each step: the positions of all rows, padding included, over the rows."""

TIMING_METRICS = (
    "steps_per_second",
    "tokens_per_second",
    "input_wait_share",
    "peak_flops_share",
    "host_memory_gib",
    "device_memory_gib",
)
"""The metrics that differ between two runs that learn the same."""

_GIB = 2.0**30
_UNIT_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024


def counting_tokens(objective: Objective) -> Objective:
    """Return the objective with `TOKENS` and `ROW_LENGTH` beside it; one reduction sums them with the rest."""

    def batch_metrics(batch: Batch) -> Sums:
        mask = batch["input_mask"]
        tokens = ops.sum(ops.cast(ops.not_equal(mask, 0), "float32"))
        rows, length = (ops.cast(size, "float32") for size in ops.shape(mask))
        return {TOKENS: (tokens, rows), ROW_LENGTH: (rows * length, rows)}

    return dataclasses.replace(objective, batch_metrics=batch_metrics)


class ThroughputMeter:
    """The time that the steps since the last report took, without evaluations and checkpoints between them.

    Args:
        step_flops: floating-point operations of a step over all devices, as a function of the length of its rows; None
            where they are not counted.
        peak_flops: the operations that all devices together can make in a second; 0 where it is unknown.
        device_memory_gib: returns the peak memory of a device, in GiB; None where the device does not report it.
    """

    def __init__(
        self,
        step_flops: Callable[[int], float] | None = None,
        peak_flops: float = 0.0,
        device_memory_gib: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._step_flops = step_flops
        self._peak_flops = peak_flops
        self._device_memory_gib = device_memory_gib
        self._is_traced = False
        self._clear()

    def _clear(self) -> None:
        self._steps = 0
        self._tokens = 0.0
        self._flops = 0.0
        self._seconds = 0.0
        self._waited = 0.0
        self._has_tracing = False

    def add(self, names: Sequence[str], values: np.ndarray, *, seconds: float, waited: float) -> None:
        """Add one run of the inner loop.

        The first run includes tracing and compiling: it counts only in a report that has no other.

        Args:
            names: the names of the steps' metrics, `TOKENS` and `ROW_LENGTH` among them.
            values: the metrics of the steps as (sum, weight) pairs, float [steps, names, 2].
            seconds: the time from call to return.
            waited: the part of it, in seconds, in which the device waited for input.
        """
        if self._has_tracing:
            self._clear()
        self._has_tracing, self._is_traced = not self._is_traced, True
        self._steps += len(values)
        self._tokens += float(values[:, names.index(TOKENS), 0].sum())
        if self._step_flops is not None:
            positions, rows = values[:, names.index(ROW_LENGTH)].T
            self._flops += sum(map(self._step_flops, np.rint(positions / rows).astype(int).tolist()))
        self._seconds += seconds
        self._waited += waited

    def report(self) -> dict[str, float]:
        """Return the `TIMING_METRICS` since the last report, as far as they are known.

        `steps_per_second`; `tokens_per_second`, without padding; `input_wait_share` of the time; `peak_flops_share`,
        the share of the peak that the steps' products needed; `host_memory_gib` and `device_memory_gib`, the most that
        this process, and its first GPU or TPU core, have held so far.
        """
        seconds = max(self._seconds, 1e-9)
        values = {
            "steps_per_second": self._steps / seconds,
            "tokens_per_second": self._tokens / seconds,
            "input_wait_share": self._waited / seconds,
        }
        if self._flops and self._peak_flops:
            values["peak_flops_share"] = self._flops / seconds / self._peak_flops
        self._clear()
        values["host_memory_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT_OF_MAXRSS / _GIB
        device_memory = self._device_memory_gib()
        return values if device_memory is None else values | {"device_memory_gib": device_memory}
