"""Where the step runs: one device, or a tf.distribute strategy. The only place that builds or asks a strategy."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import tensorflow as tf


class Distribution:
    """One device, or replicas under a strategy, behind the few operations that a training step needs.

    Args:
        strategy: None for one device without any strategy, where XLA may compile the whole step.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None) -> None:
        self.strategy = strategy
        self.num_replicas = 1 if strategy is None else strategy.num_replicas_in_sync

    @property
    def is_tpu(self) -> bool:
        """Whether the replicas are TPU cores."""
        return isinstance(self.strategy, tf.distribute.TPUStrategy)

    def describe(self) -> str:
        """What was found and is used, for people."""
        if self.strategy is None:
            gpus = tf.config.list_logical_devices("GPU")
            return f"one device ({gpus[0].name if gpus else 'CPU'})"
        return f"{type(self.strategy).__name__}, {self.num_replicas} replicas"

    def scope(self) -> AbstractContextManager[Any]:
        """The context in which all variables must be made."""
        return nullcontext() if self.strategy is None else self.strategy.scope()

    def run(self, step: Callable[[Any], Any], batch: Any) -> Any:
        """`step(batch)` on every replica, each with its part of the batch; results as replica 0 has them.

        What `step` returns must be equal on all replicas (all-reduced).
        """
        if self.strategy is None:
            return step(batch)
        results = self.strategy.run(step, args=(batch,))
        return tf.nest.map_structure(lambda value: self.strategy.experimental_local_results(value)[0], results)

    def run_and_gather(self, step: Callable[[Any], tuple[Any, Any]], batch: Any) -> tuple[Any, Any]:
        """`step(batch)` on every replica: its first result, the replicas' joined along axis 0, and its second.

        The second must be equal on all replicas (all-reduced), and is replica 0's.
        """
        if self.strategy is None:
            return step(batch)
        local = self.strategy.experimental_local_results
        outputs, figures = self.strategy.run(step, args=(batch,))
        return (
            tf.nest.map_structure(lambda value: tf.concat(local(value), axis=0), outputs),
            tf.nest.map_structure(lambda value: local(value)[0], figures),
        )

    def place(self, batch: dict[str, Any]) -> Any:
        """A global batch of NumPy arrays as `run` wants it: each replica gets consecutive rows, in replica order."""
        strategy = self.strategy
        if strategy is None:
            return batch
        parts = {name: np.split(array, self.num_replicas) for name, array in batch.items()}

        def part(name: str) -> Any:
            return strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(parts[name][context.replica_id_in_sync_group])
            )

        return {name: part(name) for name in batch}

    def replica_id(self) -> Any:
        """Inside `run`: this replica's number, a scalar."""
        if self.strategy is None:
            return 0
        return tf.distribute.get_replica_context().replica_id_in_sync_group

    def all_reduce(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Inside `run`: each tensor's sum over all replicas, in one reduction of the whole list."""
        if self.strategy is None:
            return list(tensors)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, list(tensors))

    def update(
        self, variables: Sequence[tuple[tf.Variable, ...]], tensors: Sequence[Any], function: Callable[..., None]
    ) -> None:
        """Inside `run`: `function(index, variables[index], tensors[index])` for each index, on each device's copies.

        Args:
            variables: groups of variables that are written together; the first of each group says where.
            tensors: for each group a tensor (or nested structure), equal on all replicas.
            function: assigns to the variables it is given.
        """
        if self.strategy is None:
            for index, (group, tensor) in enumerate(zip(variables, tensors, strict=True)):
                function(index, group, tensor)
            return

        def merged(strategy: tf.distribute.Strategy, values: Sequence[Any]) -> None:
            for index, (group, tensor) in enumerate(zip(variables, values, strict=True)):
                strategy.extended.update(
                    group[0],
                    # The first variable arrives as this device's copy; so do those among the arguments.
                    lambda first, *rest, index=index: function(index, (first, *rest[:-1]), rest[-1]),
                    args=(*group[1:], tensor),
                    group=False,
                )

        tf.distribute.get_replica_context().merge_call(merged, args=(list(tensors),))

    def split(self, dataset: tf.data.Dataset) -> Iterable[Any]:
        """The data set of global batches, as `run` wants it: each replica gets consecutive rows, in replica order."""
        if self.strategy is None:
            return dataset
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return self.strategy.experimental_distribute_dataset(dataset.with_options(options))


def make_distribution(tpu: str | None = None, num_devices: int | None = None) -> Distribution:
    """The distribution for what is attached.

    Args:
        tpu: name or address of a TPU, or `local` on a TPU VM; None for none.
        num_devices: how many GPUs to use; None for all; without GPUs, more than one means logical CPU devices.

    Returns:
        TPUStrategy for a TPU; MirroredStrategy for several devices; no strategy for one.

    Raises:
        ValueError: the TPU is not found, or there are fewer devices than asked for.
    """
    if tpu:
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu)
            tf.config.experimental_connect_to_cluster(resolver)
            tf.tpu.experimental.initialize_tpu_system(resolver)
        except (ValueError, tf.errors.OpError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"--tpu: no TPU answers there ({reason}). Received: {tpu!r}") from None
        return Distribution(tf.distribute.TPUStrategy(resolver))
    if num_devices is not None and num_devices < 1:
        raise ValueError(f"--num_devices must be at least 1. Received: {num_devices}")
    devices = tf.config.list_logical_devices("GPU")
    if not devices and num_devices is not None:
        devices = tf.config.list_logical_devices("CPU")
    if num_devices is not None and num_devices > len(devices):
        raise ValueError(f"--num_devices must be at most the {len(devices)} found. Received: {num_devices}")
    devices = devices[: num_devices or len(devices)]
    if len(devices) <= 1:
        return Distribution()
    return Distribution(tf.distribute.MirroredStrategy([device.name for device in devices]))
