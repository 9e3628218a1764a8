"""The rows of all replicas, for losses that compare rows with each other."""

from typing import Any

import tensorflow as tf

from bert_tf.configs import TrainConfig
from bert_tf.features import Batch
from bert_tf.objectives.losses import Sums
from bert_tf.objectives.objective import Objective
from bert_tf.training.tensorflow_engine.distribution import Distribution


class RowGathering:
    """The gathering of the rows of all replicas for an objective that compares rows. For others, nothing changes.

    Args:
        objective: the losses and metrics.
        train: the settings of the step.
        distribution: the replicas.

    Raises:
        ValueError: the rows of several replicas would be compared, but the batch is accumulated in parts.
    """

    def __init__(self, objective: Objective, train: TrainConfig, distribution: Distribution) -> None:
        self._distribution = distribution
        self._features = objective.gathered_features if distribution.num_replicas > 1 else ()
        if self._features and train.gradient_accumulation_steps > 1:
            raise ValueError(
                "`train.gradient_accumulation_steps` must be 1 for a loss that compares the rows of several replicas. "
                f"Received: {train.gradient_accumulation_steps} on {distribution.num_replicas} replicas"
            )

    def rows(self, outputs: Any, batch: Batch) -> tuple[Any, Batch]:
        """Gather the rows of all replicas for losses that compare rows. Remote rows carry no gradient.

        Every replica then has the whole loss, whose gradient with respect to its own outputs is right, and
        `counted_once` makes the sum over replicas count it once.

        Args:
            outputs: the model's outputs for this replica's rows.
            batch: this replica's rows.

        Returns:
            The outputs for the rows of all replicas, in the order of the global batch, and the features to compare.
        """
        if not self._features:
            return outputs, batch
        flat = tf.nest.flatten(outputs)
        gathered = self._distribution.all_gather([*flat, *(batch[name] for name in self._features)])
        rows = dict(zip(self._features, gathered[len(flat) :], strict=True))
        return tf.nest.pack_sequence_as(outputs, gathered[: len(flat)]), rows

    def counted_once(self, sums: Sums) -> Sums:
        """Return sums that count once when they are added over the replicas, each of which has the whole sums."""
        if not self._features:
            return sums
        return tf.nest.map_structure(lambda value: value / self._distribution.num_replicas, sums)
