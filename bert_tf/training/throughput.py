"""The metrics of the speed of training, and of the time that it waits for input."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from keras import ops

from bert_tf.features import Batch
from bert_tf.objectives.losses import Sums
from bert_tf.objectives.objective import Objective
from bert_tf.utils.peak_memory import peak_memory_gib

TOKENS = "tokens_per_row"
"""The metric of each step with the tokens, without padding, and the number of rows that hold them."""

ROW_LENGTH = "row_length"
"""The metric of each step with the positions of all rows, padding included, and the number of rows."""

TIMING_METRICS = (
    "steps_per_second",
    "tokens_per_second",
    "input_wait_share",
    "peak_flops_share",
    "host_memory_gib",
    "device_memory_gib",
)
"""The metrics that differ between two runs with the same updates."""


def counting_tokens(objective: Objective) -> Objective:
    """Return the objective with the metrics `TOKENS` and `ROW_LENGTH`, which the same reduction sums."""

    def batch_metrics(batch: Batch) -> Sums:
        mask = batch["input_mask"]
        tokens = ops.sum(ops.cast(ops.not_equal(mask, 0), "float32"))
        rows, length = (ops.cast(size, "float32") for size in ops.shape(mask))
        return {TOKENS: (tokens, rows), ROW_LENGTH: (rows * length, rows)}

    return dataclasses.replace(objective, batch_metrics=batch_metrics)


class ThroughputMeter:
    """A meter of the time that the steps since the last report took, without evaluations and checkpoints between them.

    Args:
        step_flops: a function from the length of a step's rows to its floating-point operations over all devices; None
                if they are not counted.
        peak_flops: the operations that all devices together can make in a second; 0 if this is unknown.
        device_memory_gib: a function that returns the peak memory of a device, in GiB, or None if it is not reported.
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
        """Add one call of the inner loop.

        The first call includes tracing and compiling. It counts only in a report that has no other call.

        Args:
            names: the names of the steps' metrics, `TOKENS` and `ROW_LENGTH` among them.
            values: the metrics of the steps as (sum, weight) pairs, float [steps, names, 2].
            seconds: the time from call to return.
            waited: the seconds of this time in which the device waited for input.
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
        """Return those of the `TIMING_METRICS` since the last report that are known.

        They are `steps_per_second`; `tokens_per_second`, without padding; `input_wait_share`, the share of the time in
        which the device waited for input; `peak_flops_share`, the share of the peak that the steps' products needed;
        and `host_memory_gib` and `device_memory_gib`, the peak memory of this process and of its first GPU or TPU core.
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
        values["host_memory_gib"] = peak_memory_gib()
        device_memory = self._device_memory_gib()
        return values if device_memory is None else values | {"device_memory_gib": device_memory}
