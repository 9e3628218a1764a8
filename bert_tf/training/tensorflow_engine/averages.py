"""Exponential moving averages of the trained weights, which often score better than the last weights."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from bert_tf.features import Batch
from bert_tf.objectives.losses import Sums
from bert_tf.optimization import AVERAGE_PREFIX, average_share
from bert_tf.training.tensorflow_engine.distribution import Distribution


class WeightAverages:
    """The averages of some weights. Under a strategy, they must be made in its scope, like the weights.

    Args:
        weights: the variables by name.
    """

    def __init__(self, weights: Mapping[str, Any]) -> None:
        self._weights = dict(weights)
        self._averages = {
            name: tf.Variable(tf.zeros(weight.shape, weight.dtype), trainable=False) for name, weight in weights.items()
        }

    def variables(self) -> dict[str, Any]:
        """Return the averages by name, as a checkpoint holds them."""
        return {AVERAGE_PREFIX + name: average for name, average in self._averages.items()}

    def of(self, names: Iterable[str]) -> "WeightAverages":
        """Return the averages of some of the weights, which share their variables with these."""
        part = copy.copy(self)
        part._weights = {name: self._weights[name] for name in names}
        part._averages = {name: self._averages[name] for name in part._weights}
        return part

    def reset(self) -> None:
        """Let the averages start from the weights as they are now."""
        for name, average in self._averages.items():
            average.assign(tf.convert_to_tensor(self._weights[name]))

    def update(self, decay: float, step: tf.Tensor, distribution: Distribution) -> None:
        """Update the averages after an update of the weights, inside `Distribution.run`.

        Args:
            decay: see `optimization.average_share`.
            step: see there.
            distribution: the replicas.
        """
        share = average_share(step, decay)
        groups = [(self._averages[name], weight.value) for name, weight in self._weights.items()]

        def move(_: int, group: tuple[tf.Variable, ...], share: tf.Tensor) -> None:
            average, weight = group
            average.assign_add(tf.cast(share, average.dtype) * (tf.convert_to_tensor(weight) - average))

        distribution.update(groups, [share] * len(groups), move)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Swap the weights and the averages within the block. After it, both have exactly their former values."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, average in self._averages.items():
            weight = self._weights[name]
            before = tf.identity(tf.convert_to_tensor(weight))
            weight.assign(tf.convert_to_tensor(average))
            average.assign(before)


def averaging(
    train_step: Callable[[Batch], Sums],
    averages: WeightAverages,
    decay: float,
    *,
    step: tf.Variable,
    distribution: Distribution,
) -> Callable[[Batch], Sums]:
    """Return a training step that also updates the averages.

    Args:
        train_step: the step of one replica (`step.TrainStep`).
        averages: the averages of its weights.
        decay: as in `WeightAverages.update`.
        step: the variable that counts the updates.
        distribution: the replicas.
    """

    def train_and_average(batch: Batch) -> Sums:
        sums = train_step(batch)
        averages.update(decay, tf.identity(step), distribution)
        return sums

    return train_and_average
