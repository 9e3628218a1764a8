"""The metrics of steps between the device and the log, as (sum, weight) pairs by name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from bert_tf.objectives import metrics

NONFINITE_GRADIENT = "nonfinite_gradient"
"""The metric with the number, from 1, of the first weight whose gradient is not finite in a step; 0 for none."""


class Totals:
    """The sums of (sum, weight) pairs on the host, in float64, since float32 sums of millions of terms lose digits."""

    def __init__(self) -> None:
        self._totals: dict[str, tuple[float, float]] = {}

    def add(self, sums: Mapping[str, Any]) -> None:
        """Add the pairs of a batch, scalars that `float` takes."""
        for name, (total, weight) in sums.items():
            before = self._totals.get(name, (0.0, 0.0))
            self._totals[name] = (before[0] + float(total), before[1] + float(weight))

    def ratios(self) -> dict[str, float]:
        """Return the mean of each metric, which is its sum divided by its weight."""
        return metrics.ratios(self._totals)


class MetricSums:
    """The sums of all steps since the last line of the log, in float64 on the host. A checkpoint holds them.

    Steps are added one by one, so that a line of the log depends neither on how many steps ran between two returns to
    the host nor on where a run was stopped.

    Attributes:
        steps: the number of steps added.
        skipped: the number of these steps that were skipped.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.skipped = 0
        self._sums: dict[str, tuple[float, float]] = {}

    def add(self, names: Sequence[str], values: np.ndarray, *, skipped: bool = False) -> None:
        """Add the metrics of one step.

        Args:
            names: the names of the metrics.
            values: the (sum, weight) pairs of the metrics, float [names, 2].
            skipped: whether the step was skipped, so that its metrics do not count.
        """
        self.steps += 1
        if skipped:
            self.skipped += 1
            return
        for name, (total, weight) in zip(names, values.tolist(), strict=True):
            if name != NONFINITE_GRADIENT:
                before = self._sums.get(name, (0.0, 0.0))
                self._sums[name] = (before[0] + total, before[1] + weight)

    def ratios(self) -> dict[str, float]:
        """Return the mean of each metric over all steps, which is its sum divided by its weight."""
        return metrics.ratios(self._sums)

    def to_json(self) -> dict[str, Any]:
        """Return the sums in the form that `from_json` takes."""
        return {"steps": self.steps, "skipped": self.skipped, "sums": {k: list(v) for k, v in self._sums.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the sums that a checkpoint holds."""
        sums = cls()
        sums.steps, sums.skipped = value["steps"], value["skipped"]
        sums._sums = {name: (total, weight) for name, (total, weight) in value["sums"].items()}
        return sums


def nonfinite_part(names: Sequence[str], values: np.ndarray, weights: Sequence[str]) -> str | None:
    """Return a text that says what is not finite in one step, or None if all is finite.

    Args:
        names: the names of the step's metrics.
        values: the (sum, weight) pairs of the metrics, float [names, 2].
        weights: the names of the trained weights, in the order in which the step counts them.
    """
    totals = dict(zip(names, values[:, 0].tolist(), strict=True))
    gradient = int(totals.pop(NONFINITE_GRADIENT, 0))
    norm = totals.pop("gradient_norm", 0.0)
    bad = [f"{name} is {total}" for name, total in totals.items() if not np.isfinite(total)]
    if bad:
        return ", ".join(bad)
    if not np.isfinite(norm):
        return (
            f"the gradient of {weights[gradient - 1]} is not finite" if gradient else f"the gradient's norm is {norm}"
        )
    return None


def nonfinite_message(
    step: int, part: str, describe_batch: Callable[[int], str] | None, *, count: int, allowed: int
) -> str:
    """Return the message about an update that is not finite.

    Args:
        step: the number of the update, counted from 1.
        part: what is not finite (`nonfinite_part`).
        describe_batch: describes the records in the batch of a step, counted from 0.
        count: the number of such updates so far, this one included.
        allowed: the number of such updates that are skipped (`train.skip_nonfinite`).
    """
    batch = f" Its batch: {describe_batch(step - 1)}." if describe_batch else ""
    start = f"step {step} is not finite: {part}.{batch}"
    if count <= allowed:
        return f"{start} It is skipped, as number {count} of at most {allowed}"
    return (
        f"{start} The last checkpoint is kept. Try a lower train.learning_rate, a longer warm-up or "
        "train.precision=float32; --set train.skip_nonfinite=N skips up to N such steps"
        + (f", and {allowed} have been skipped already" if allowed else "")
    )
