"""The devices of a step: one, or those of a tf.distribute strategy. Only this module makes and uses strategies."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf.training.batch_shards import BatchShard, rows_of_each
from bert_tf.training.cluster import VARIABLE, Cluster, cluster_from_environment
from bert_tf.training.engine import STRATEGIES

# Which of these errors a collective operation raises depends on its state when its partner was lost.
_LOST_WORKER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


class Distribution:
    """One device, or replicas under a strategy, behind the few operations that a training step needs.

    Args:
        strategy: the strategy; None for one device without any, where XLA may compile the whole step.
        cluster: the processes that run the strategy together; None for this process alone.
        found: a text about the devices that `make_distribution` found, for `describe`.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy | None = None, cluster: Cluster | None = None, found: str = ""
    ) -> None:
        self.strategy = strategy
        self.cluster = cluster or Cluster(addresses=("",), index=0)
        self.found = found
        self.num_replicas = 1 if strategy is None else strategy.num_replicas_in_sync
        self._worker_sums: Any = None

    @property
    def is_chief(self) -> bool:
        """Return whether this process writes the run's folder: the only one, or the first of several."""
        return self.cluster.is_chief

    @property
    def is_tpu(self) -> bool:
        """Return whether the replicas are TPU cores."""
        return isinstance(self.strategy, tf.distribute.TPUStrategy)

    def describe(self) -> str:
        """Return a text that says which devices were found and which are used."""
        if self.strategy is None:
            gpus = tf.config.list_logical_devices("GPU")
            return f"one device ({gpus[0].name if gpus else 'CPU'})"
        # The classes' own names are internal ones.
        names = ("TPUStrategy", "MultiWorkerMirroredStrategy", "MirroredStrategy")
        name = next(name for name in names if isinstance(self.strategy, getattr(tf.distribute, name)))
        if self.cluster.size == 1:
            return f"{name}, {self.num_replicas} replicas"
        role = "the chief" if self.is_chief else f"worker {self.cluster.index}"
        return f"{name}, {self.num_replicas} replicas on {self.cluster.size} workers; this is {role}"

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which all variables must be made."""
        return nullcontext() if self.strategy is None else self.strategy.scope()

    def run(self, step: Callable[[Any], Any], batch: Any) -> Any:
        """Run `step(batch)` on every replica, each with its rows of the batch, and return the results of replica 0.

        The results must be equal on all replicas (all-reduced).
        """
        if self.strategy is None:
            return step(batch)
        results = self.strategy.run(step, args=(batch,))
        return tf.nest.map_structure(lambda value: self.strategy.experimental_local_results(value)[0], results)

    def run_and_gather(self, step: Callable[[Any], tuple[Any, Any]], batch: Any) -> tuple[Any, Any]:
        """Run `step(batch)` on every replica, and return the joined first results, and the second result of replica 0.

        The first results are joined along axis 0. The second ones must be equal on all replicas (all-reduced).
        """
        if self.strategy is None:
            return step(batch)
        local = self.strategy.experimental_local_results
        if self.cluster.size > 1:
            # Each worker gets the rows of all workers, so that all draw the same conclusions, such as when to stop.
            outputs, metrics = self.strategy.run(lambda part: _gathered(*step(part)), args=(batch,))
            return tf.nest.map_structure(lambda value: local(value)[0], (outputs, metrics))
        outputs, metrics = self.strategy.run(step, args=(batch,))
        return (
            tf.nest.map_structure(lambda value: tf.concat(local(value), axis=0), outputs),
            tf.nest.map_structure(lambda value: local(value)[0], metrics),
        )

    def place(self, batch: dict[str, Any]) -> Any:
        """Return a global batch of NumPy arrays in the form that `run` takes. Each replica gets consecutive rows."""
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
        """Return, inside `run`, the number of this replica, a scalar."""
        if self.strategy is None:
            return 0
        return tf.distribute.get_replica_context().replica_id_in_sync_group

    def all_reduce(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return, inside `run`, each tensor's sum over all replicas, in one reduction of the whole list."""
        if self.strategy is None:
            return list(tensors)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, list(tensors))

    def all_gather(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return, inside `run`, the rows of all replicas in the global batch's order. Remote rows carry no gradient."""
        if self.num_replicas == 1:
            return list(tensors)
        is_own = tf.equal(tf.range(self.num_replicas), self.replica_id())

        def in_own_place(tensor: tf.Tensor, elsewhere: tf.Tensor) -> tf.Tensor:
            return tf.where(tf.reshape(is_own, [-1] + [1] * tensor.shape.rank), tensor[None], elsewhere)

        together = list(tensors)
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):  # the order is the same on all replicas
            # On other devices, int32 tensors are in the host's memory, where reductions cannot reach them.
            carrier = tf.int64 if dtype == tf.int32 and not self.is_tpu else dtype
            own = {place: tensor for place, tensor in enumerate(tensors) if tensor.dtype == dtype}
            alone = [in_own_place(tf.stop_gradient(tensor), tf.zeros((), dtype)) for tensor in own.values()]
            summed = self.all_reduce([tf.cast(tensor, carrier) for tensor in alone])
            for (place, tensor), others in zip(own.items(), summed, strict=True):
                together[place] = in_own_place(tensor, tf.cast(others, dtype))
        return [tf.reshape(tensor, [-1, *tensor.shape[2:]]) for tensor in together]

    def update(
        self, variables: Sequence[tuple[tf.Variable, ...]], tensors: Sequence[Any], function: Callable[..., None]
    ) -> None:
        """Call `function(index, variables[index], tensors[index])` inside `run` for each index, on each device's copy.

        Args:
            variables: groups of variables that are written together, on the device of the first one of the group.
            tensors: a tensor or a nested structure for each group, equal on all replicas.
            function: a function that assigns to the variables that it is given.
        """
        if self.strategy is None:
            for index, (group, tensor) in enumerate(zip(variables, tensors, strict=True)):
                function(index, group, tensor)
            return

        def merged(strategy: tf.distribute.Strategy, values: Sequence[Any]) -> None:
            for index, (group, tensor) in enumerate(zip(variables, values, strict=True)):
                strategy.extended.update(
                    group[0],
                    # The first variable and those among the arguments arrive as this device's copies.
                    lambda first, *rest, index=index: function(index, (first, *rest[:-1]), rest[-1]),
                    args=(*group[1:], tensor),
                    group=False,
                )

        tf.distribute.get_replica_context().merge_call(merged, args=(list(tensors),))

    def split(self, dataset: tf.data.Dataset) -> Iterable[Any]:
        """Return a data set of global batches in the form that `run` takes, where each replica gets consecutive rows.

        Raises:
            ValueError: the batches cannot be divided evenly.
        """
        return self.read(lambda shard: shard.of(dataset))

    def read(self, dataset_of: Callable[[BatchShard], tf.data.Dataset], endless: bool = False) -> Iterable[Any]:
        """Return the batches as `split` does, but let each host that feeds replicas read only its own rows.

        Args:
            dataset_of: a function that returns a shard of every global batch, with a static number of rows.
            endless: whether there is always another batch. If not, several workers ask each other before each batch
                    whether all of them have one.

        Raises:
            ValueError: the batches cannot be divided evenly.
        """
        strategy = self.strategy
        if strategy is None:
            return dataset_of(BatchShard())

        def of_host(context: tf.distribute.InputContext) -> tf.data.Dataset:
            dataset = dataset_of(BatchShard(context.input_pipeline_id, context.num_input_pipelines))
            rows = tf.nest.flatten(dataset.element_spec)[0].shape[0]
            replicas = self.num_replicas // context.num_input_pipelines
            dataset = dataset.rebatch(rows_of_each(rows, replicas, "replicas of a worker"), drop_remainder=True)
            if endless:
                dataset = dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
            return dataset

        return strategy.distribute_datasets_from_function(of_host)

    def sum_over_workers(self, values: Sequence[float]) -> list[float]:
        """Return, outside `run`, the sum of each number over the processes. All must call it, at the same point."""
        if self.cluster.size == 1:
            return list(values)
        if self._worker_sums is None:
            self._worker_sums = tf.function(
                # Each replica's device needs a copy, because a reduction runs where its values are.
                lambda numbers: self.run(lambda own: self.all_reduce([tf.identity(own)])[0], numbers),
                input_signature=[tf.TensorSpec([None], tf.float64)],
            )
        replicas_of_worker = self.num_replicas // self.cluster.size
        return (self._worker_sums(tf.constant(values, tf.float64)) / replicas_of_worker).numpy().tolist()

    @contextmanager
    def naming_lost_workers(self) -> Iterator[None]:
        """Turn the errors of a job that has lost a process into a ConnectionError.

        Raises:
            ConnectionError: another process of the job was lost or cannot be reached.
        """
        try:
            yield
        except _LOST_WORKER_ERRORS as error:
            if self.cluster.size == 1:
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            # The message leaves out the node of the graph and TensorFlow's advice.
            reason = re.sub(r"^\{\{.*?\}\} ", "", reason.partition(" Check the task logs")[0])
            raise ConnectionError(
                f"another of the {self.cluster.size} workers was lost ({reason}); the last checkpoint is kept. "
                f"Start all workers again to continue from it. This is worker {self.cluster.index}"
            ) from None

    def require_agreement(self, name: str, value: int) -> None:
        """Stop every process, outside `run`, unless all have the same value. All must call it.

        Raises:
            ValueError: the processes have different values.
        """
        # All workers compute the variance of the value, and see that it is not zero.
        total, squares = self.sum_over_workers([value, value**2])
        if self.cluster.size * squares != total**2:
            raise ValueError(
                f"all {self.cluster.size} workers must have the same {name}; do they share the run's folder? "
                f"Received: {value} on worker {self.cluster.index}"
            )

    def check_batch(self, field: str, rows: int) -> None:
        """Check that a global batch can be divided over the replicas.

        Raises:
            ValueError: the number of rows is not a multiple of the number of replicas.
        """
        if rows % self.num_replicas:
            raise ValueError(f"`{field}` must be a multiple of the {self.num_replicas} replicas. Received: {rows}")


def _gathered(outputs: Any, metrics: Any) -> tuple[Any, Any]:
    """Gather, inside a replica, the outputs of all replicas along axis 0, and return the metrics unchanged."""
    context = tf.distribute.get_replica_context()

    def gather(value: tf.Tensor) -> tf.Tensor:
        # Collectives do not support bfloat16, whose values are all float32 numbers.
        wide = tf.cast(value, tf.float32) if value.dtype == tf.bfloat16 else value
        return context.all_gather(wide, axis=0)

    return tf.nest.map_structure(gather, outputs), metrics


def make_distribution(tpu: str | None = None, num_devices: int | None = None, strategy: str = "auto") -> Distribution:
    """Return the distribution for the devices that are attached.

    It must be made before anything else starts TensorFlow, because multi-worker jobs and logical devices of a CPU must
    be set up first.

    Args:
        tpu: the name or address of a TPU, or `local` on a TPU VM; None for no TPU.
        num_devices: the number of GPUs to use; None for all. Without GPUs, the number of logical devices into which the
            CPU is divided, to try out replicas.
        strategy: one of `STRATEGIES`. `auto` uses a TPU if `tpu` is given, else several workers if TF_CONFIG names
            them, else all GPUs, else one device.

    Returns:
        TPUStrategy; MultiWorkerMirroredStrategy, which waits for the other workers; MirroredStrategy; or no strategy
        for one device.

    Raises:
        ValueError: the TPU is not found, there are fewer devices than asked for, TF_CONFIG is wrong, or the arguments
                contradict each other.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"`strategy` must be one of {', '.join(STRATEGIES)}. Received: {strategy!r}")
    if num_devices is not None and num_devices < 1:
        raise ValueError(f"`num_devices` must be at least 1. Received: {num_devices}")
    if tpu and strategy not in ("auto", "tpu"):
        raise ValueError(f"`tpu` needs `strategy` auto or tpu. Received: {strategy!r}")
    if tpu or strategy == "tpu":
        if num_devices is not None:
            raise ValueError(f"`num_devices` is for GPUs; a TPU is used whole. Received: {num_devices}")
        return _on_tpu(tpu or "local")
    cluster = cluster_from_environment() if strategy in ("auto", "multi_worker") else None
    if strategy == "multi_worker" or (cluster is not None and cluster.size > 1):
        if cluster is None:
            raise ValueError(f"`strategy` multi_worker needs the environment variable {VARIABLE}. Received: none")
        if num_devices is not None:
            raise ValueError(
                "`num_devices` is for one process; each worker of several uses all GPUs that it sees "
                f"(CUDA_VISIBLE_DEVICES). Received: {num_devices}"
            )
        return _on_workers(cluster)
    return _on_local_devices(num_devices, strategy)


def _on_tpu(tpu: str) -> Distribution:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"`tpu`: no TPU answers there ({reason}). Received: {tpu!r}") from None
    return Distribution(
        tf.distribute.TPUStrategy(resolver), found=f"TPU {tpu!r}, {len(tf.config.list_logical_devices('TPU'))} cores"
    )


def _on_workers(cluster: Cluster) -> Distribution:
    gpus = len(tf.config.list_physical_devices("GPU"))
    found = f"{cluster.describe()}, {_devices_found(gpus)} here"
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except (RuntimeError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{VARIABLE}: the workers do not come together ({reason}). Found: {found}") from None
    return Distribution(strategy, cluster, found)


def _on_local_devices(num_devices: int | None, strategy: str) -> Distribution:
    gpus = len(tf.config.list_physical_devices("GPU"))
    if strategy == "one_device":
        if num_devices not in (None, 1):
            raise ValueError(f"`strategy` one_device has `num_devices` 1. Received: {num_devices}")
        return Distribution(found=_devices_found(gpus))
    if not gpus and num_devices is not None:
        _make_logical_devices(num_devices)
    devices = tf.config.list_logical_devices("GPU" if gpus else "CPU")
    if not gpus and num_devices is None:
        devices = devices[:1]  # logical devices of a CPU are no faster than one, so they are made on demand only
    if num_devices is not None and num_devices > len(devices):
        raise ValueError(f"`num_devices` must be at most the {len(devices)} found. Received: {num_devices}")
    devices = devices[: num_devices or len(devices)]
    if len(devices) == 1 and strategy == "auto":
        return Distribution(found=_devices_found(gpus))
    return Distribution(_MirroredStrategy([device.name for device in devices]), found=_devices_found(gpus))


class _MirroredStrategy(tf.distribute.MirroredStrategy):
    """MirroredStrategy whose collective operations have keys that no other one of the process has.

    TensorFlow counts the keys from 1 in each strategy, and refuses a key that came with another number of devices or
    another type before: a process that used four devices could not use two.
    """

    _made = itertools.count()

    def __init__(self, devices: list[str]) -> None:
        self._collective_key_base = 1000 * next(self._made)
        super().__init__(devices)


def _make_logical_devices(count: int) -> None:
    """Divide the CPU into `count` logical devices, unless TensorFlow has started already."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    try:
        if tf.config.get_logical_device_configuration(cpu) is None:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError:
        pass


def _devices_found(gpus: int) -> str:
    return f"{gpus} GPU{'s' * (gpus > 1)}" if gpus else "a CPU and no GPU"
