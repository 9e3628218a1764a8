"""What each step reports, on its way from the device to the log: (sum, weight) pairs by name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf

from bert_tf.objectives import metrics
from bert_tf.objectives.losses import Sums
from bert_tf.training.tensorflow_engine.step import NONFINITE_GRADIENT


def packed(sums: Sums) -> tf.Tensor:
    """The pairs of one step as one tensor, float32 [names, 2], so that the host fetches one."""
    return tf.stack([tf.stack([tf.cast(part, tf.float32) for part in pair]) for pair in sums.values()])


class FigureSums:
    """The sums since the last line of the log, float64 on the host; part of a checkpoint, as `to_json`.

    Added step by step, so that a line of the log does not depend on how many steps ran between two returns to the host,
    nor on where a run was stopped.

    Attributes:
        steps: how many steps have been added.
        skipped: how many of them were skipped.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.skipped = 0
        self._sums: dict[str, tuple[float, float]] = {}

    def add(self, names: Sequence[str], figures: np.ndarray, skipped: bool = False) -> None:
        """Add the figures of one step, float [names, 2]; those of a skipped step count in nothing."""
        self.steps += 1
        if skipped:
            self.skipped += 1
            return
        for name, (total, weight) in zip(names, figures.tolist(), strict=True):
            if name != NONFINITE_GRADIENT:
                before = self._sums.get(name, (0.0, 0.0))
                self._sums[name] = (before[0] + total, before[1] + weight)

    def ratios(self) -> dict[str, float]:
        """The means over all steps: sums / weights by name."""
        return metrics.ratios(self._sums)

    def to_json(self) -> dict[str, Any]:
        """As `from_json` takes it."""
        return {"steps": self.steps, "skipped": self.skipped, "sums": {k: list(v) for k, v in self._sums.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The sums that a checkpoint holds."""
        figures = cls()
        figures.steps, figures.skipped = value["steps"], value["skipped"]
        figures._sums = {name: (total, weight) for name, (total, weight) in value["sums"].items()}
        return figures


def nonfinite_part(names: Sequence[str], figures: np.ndarray, weights: Sequence[str]) -> str | None:
    """What is not finite in one step, for people; None where all is.

    Args:
        names: of the figures.
        figures: of the step, float [names, 2].
        weights: the model's, in the order in which the step counts them.
    """
    totals = dict(zip(names, figures[:, 0].tolist(), strict=True))
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
    step: int, part: str, describe_batch: Callable[[int], str] | None, count: int, allowed: int
) -> str:
    """What is told of an update that is not finite.

    Args:
        step: its number, counted from 1.
        part: of `nonfinite_part`.
        describe_batch: which records the batch of a step, counted from 0, holds.
        count: such steps so far, this one included.
        allowed: how many are skipped (`train.skip_nonfinite`).
    """
    batch = f" Its batch: {describe_batch(step - 1)}." if describe_batch else ""
    start = f"step {step} is not finite: {part}.{batch}"
    if count <= allowed:
        return f"{start} It is skipped, the {count}. of at most {allowed}"
    return (
        f"{start} The last checkpoint is kept. A lower train.learning_rate, a longer warm-up, or "
        f"train.precision=float32 are the usual mends; --set train.skip_nonfinite=N leaves out up to N such steps"
        + (f", and {allowed} are left out already" if allowed else "")
    )
