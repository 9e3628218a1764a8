"""The inner loop, whose steps run on the device one after another without a return to the host."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf.features import Batch
from bert_tf.objectives.losses import Sums
from bert_tf.training.tensorflow_engine.distribution import Distribution


class InnerLoop:
    """A compiled loop of steps.

    Args:
        train_step: the step of one replica (`step.TrainStep`).
        distribution: the replicas.
        clock: a function that returns the time in seconds, a float64 scalar, when its operation runs.

    Attributes:
        names: the names of a step's metrics, known once the loop has run.
    """

    def __init__(
        self,
        train_step: Callable[[Batch], Sums],
        distribution: Distribution,
        clock: Callable[[], tf.Tensor] = tf.timestamp,
    ) -> None:
        self.names: list[str] = []
        self._train_step = train_step
        self._distribution = distribution
        self._clock = clock
        self._run = tf.function(self._steps)

    def __call__(self, batches: Iterator[Any], count: int) -> tuple[np.ndarray, float]:
        """Run `count` steps on the next batches.

        Returns:
            The metrics of each step as (sum, weight) pairs, float32 [count, names, 2], and the seconds for which the
            steps waited for their batches. On a TPU, the seconds are an upper bound, because it fetches a batch while
            the previous step runs.
        """
        values, waited = self._run(batches, tf.constant(count))
        return values.numpy(), float(waited)

    def _steps(self, batches: Any, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        values = tf.TensorArray(tf.float32, size=count)
        waited = tf.zeros((), tf.float64)
        last = tf.zeros(())
        for number in tf.range(count):
            # The wait is from the end of a step to the next batch. A TPU must not be kept from working ahead.
            with tf.control_dependencies([] if self._distribution.is_tpu else [last]):
                asked = self._clock()
            with tf.control_dependencies([asked]):
                batch = next(batches)
            with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
                arrived = self._clock()
            waited += arrived - asked
            # If one thread runs everything, the clock would otherwise be read after the step.
            with tf.control_dependencies([] if self._distribution.is_tpu else [arrived]):
                sums = _packed(self._noted(self._distribution.run(self._train_step, batch)))
            last = sums[0, 0]
            values = values.write(number, sums)
        return values.stack(), waited

    @tf.autograph.experimental.do_not_convert
    def _noted(self, sums: Sums) -> Sums:
        self.names[:] = sums
        return sums


def _packed(sums: Sums) -> tf.Tensor:
    """Return the pairs of one step as one tensor, float32 [names, 2], so that the host fetches one."""
    return tf.stack([tf.stack([tf.cast(part, tf.float32) for part in pair]) for pair in sums.values()])
