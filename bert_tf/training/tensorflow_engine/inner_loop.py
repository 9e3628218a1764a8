"""Steps that run on the device one after another, without a return to the host between them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf.objectives.losses import Sums
from bert_tf.objectives.objective import Batch
from bert_tf.training.step_metrics import packed
from bert_tf.training.tensorflow_engine.distribution import Distribution

# A notice of termination, like Ctrl-C, is answered when the device returns: well within the 30 seconds that clusters
# give, and seldom enough to cost nothing.
_SECONDS_BETWEEN_RETURNS = 5.0


class InnerLoop:
    """A compiled loop of steps.

    Args:
        train_step: of `step.make_train_step`.
        distribution: where it runs.

    Attributes:
        names: of a step's figures, known once the loop has run.
    """

    def __init__(self, train_step: Callable[[Batch], Sums], distribution: Distribution) -> None:
        self.names: list[str] = []
        self._train_step = train_step
        self._distribution = distribution
        self._run = tf.function(self._steps)

    def __call__(self, iterator: Any, steps: int) -> tuple[np.ndarray, float]:
        """Run `steps` steps on the iterator's next batches.

        Returns:
            The figures of each step, float32 [steps, names, 2], and for how many seconds the steps waited for their
            batches. On a TPU a batch is fetched while the step before it still runs: there the seconds are a bound.
        """
        figures, waited = self._run(iterator, tf.constant(steps))
        return figures.numpy(), float(waited)

    def _steps(self, iterator: Any, steps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        figures = tf.TensorArray(tf.float32, size=steps)
        waited = tf.zeros((), tf.float64)
        last = tf.zeros(())
        for number in tf.range(steps):
            # From the end of a step to its successor's batch. A TPU must not be kept from working ahead.
            with tf.control_dependencies([] if self._distribution.is_tpu else [last]):
                asked = tf.timestamp()
            with tf.control_dependencies([asked]):
                batch = next(iterator)
            with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
                arrived = tf.timestamp()
            waited += arrived - asked
            # Where one thread runs everything, the clock would be read after the step.
            with tf.control_dependencies([] if self._distribution.is_tpu else [arrived]):
                sums = packed(self._noted(self._distribution.run(self._train_step, batch)))
            last = sums[0, 0]
            figures = figures.write(number, sums)
        return figures.stack(), waited

    @tf.autograph.experimental.do_not_convert
    def _noted(self, sums: Sums) -> Sums:
        self.names[:] = sums
        return sums


class Pace:
    """How many steps may run on the device between two returns to the host, by the clock.

    Attributes:
        steps: as many as take about `_SECONDS_BETWEEN_RETURNS`; one, as long as that is not known.
    """

    def __init__(self) -> None:
        self.steps = 1
        self._is_traced = False

    def add(self, steps: int, seconds: float) -> None:
        """What `steps` steps took."""
        if self._is_traced:
            self.steps = max(1, int(steps * _SECONDS_BETWEEN_RETURNS / max(seconds, 1e-6)))
        self._is_traced = True  # the first call traces and compiles, and tells nothing about the next
