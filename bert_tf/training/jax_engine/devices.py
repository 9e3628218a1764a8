"""The devices and processes of a JAX job: one mesh with one axis, over which the rows of each batch are divided."""

import glob
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bert_tf.layers.fused_attention import compiled_for
from bert_tf.training.batch_shards import BatchShard
from bert_tf.training.cluster import VARIABLE, Cluster, cluster_from_environment
from bert_tf.training.native_precision import TPU, NativePrecision, of_gpu

AXIS = "data"
"""The name of the mesh's axis."""

STRATEGIES = ("auto", "one_device", "multi_worker", "tpu")
"""The names of the ways to use devices through JAX. The others of `engine.STRATEGIES` are classes of TensorFlow."""

_COORDINATOR = "JAX_COORDINATOR_ADDRESS"
_LOST_PROCESS = "(UNKNOWN|UNAVAILABLE|ABORTED|CANCELLED|INTERNAL|DEADLINE_EXCEEDED|FAILED_PRECONDITION): "


class Devices:
    """The devices that run each step together.

    Args:
        devices: the devices of all processes, those of a process next to each other; None for the first device.
        num_processes: the number of processes of the job.
        index: the number of this process.
        found: a text about the devices that `attached_devices` found, for `describe`.

    Attributes:
        mesh: the mesh of the devices.
        rows: the sharding of batches: each device has consecutive rows.
        replicated: the sharding of values that every device has whole.
    """

    def __init__(
        self, devices: Sequence[Any] | None = None, *, num_processes: int = 1, index: int = 0, found: str = ""
    ) -> None:
        self.devices = list(devices) if devices is not None else jax.devices()[:1]
        self.num_processes = num_processes
        self.index = index
        self.found = found
        self.mesh = Mesh(np.array(self.devices), (AXIS,))
        self.rows = NamedSharding(self.mesh, PartitionSpec(AXIS))
        self.replicated = NamedSharding(self.mesh, PartitionSpec())

    @property
    def platform(self) -> str:
        """The kind of the devices: `cpu`, `gpu` or `tpu`."""
        return self.devices[0].platform

    @property
    def shard(self) -> BatchShard:
        """The rows of every global batch that this process reads."""
        return BatchShard(self.index, self.num_processes)

    def native_precision(self) -> NativePrecision:
        """Return the precision that the devices multiply natively."""
        if self.platform == "tpu":
            return TPU
        if self.platform == "cpu":
            return NativePrecision("float32", "the programs that JAX compiles for a CPU multiply float32")
        version = re.fullmatch(r"(\d+)\.(\d+)", str(getattr(self.devices[0], "compute_capability", "")))
        return of_gpu((int(version[1]), int(version[2])) if version else None)

    def describe(self) -> str:
        """Return a text that says which devices are used."""
        count, kind = len(self.devices), self.devices[0].device_kind
        text = f"{count} device{'s' * (count > 1)} ({kind}) through JAX"
        if self.num_processes == 1:
            return text
        role = "the chief" if self.index == 0 else f"worker {self.index}"
        return f"{text} of {self.num_processes} processes; this is {role}"

    def compiled_for(self) -> AbstractContextManager[None]:
        """Return the context in which a program must be traced, so that its kernels are those of the devices."""
        return compiled_for(self.platform, mesh=self.mesh if len(self.devices) > 1 else None, axis=AXIS)

    def check_batch(self, field: str, rows: int) -> None:
        """Check that a global batch can be divided over the devices.

        Raises:
            ValueError: the number of rows is not a multiple of the number of devices.
        """
        if rows % len(self.devices):
            raise ValueError(f"`{field}` must be a multiple of the {len(self.devices)} devices. Received: {rows}")

    def sharded_like_moments(self, shape: Sequence[int]) -> NamedSharding:
        """Return the sharding that divides an array over the devices, along its first axis that allows it.

        An array without such an axis is replicated.
        """
        count = len(self.devices)
        for axis, size in enumerate(shape):
            if count > 1 and size and size % count == 0:
                return NamedSharding(self.mesh, PartitionSpec(*[None] * axis, AXIS))
        return self.replicated

    def place(self, value: Any, sharding: NamedSharding) -> jax.Array:
        """Return a value, which every process has whole, as an array with this sharding; the value itself if it has."""
        if isinstance(value, jax.Array):
            if value.sharding == sharding:
                return value
            if self.num_processes > 1:
                value = self.fetch(value)
        if self.num_processes == 1:
            return jax.device_put(value, sharding)
        value = np.asarray(value)
        return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])

    def place_rows(self, batch: dict[str, Any]) -> dict[str, jax.Array]:
        """Return the global batch of which `batch` holds this process's rows, NumPy arrays by name."""
        if self.num_processes == 1:
            return {name: jax.device_put(array, self.rows) for name, array in batch.items()}
        return {name: jax.make_array_from_process_local_data(self.rows, array) for name, array in batch.items()}

    def place_batch(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """Return a global batch, which every process has whole, with its rows divided over the devices."""
        return {name: self.place(array, self.rows) for name, array in batch.items()}

    def fetch(self, array: Any) -> np.ndarray:
        """Return a copy of a whole array in the host's memory. If it is divided, all processes must call this."""
        if isinstance(array, jax.Array) and not (array.is_fully_addressable or array.is_fully_replicated):
            array = multihost_utils.process_allgather(array, tiled=True)
        return np.array(array)

    def sum_over_processes(self, values: Sequence[float]) -> list[float]:
        """Return the sum of each number over the processes. All must call it, at the same point."""
        if self.num_processes == 1:
            return list(values)
        # Without 64-bit types in JAX, the bits of a float64 travel as two integers.
        words = np.array(values, np.float64).view(np.uint32)
        gathered = np.asarray(multihost_utils.process_allgather(words))
        return gathered.reshape(self.num_processes, -1).view(np.float64).sum(axis=0).tolist()

    def require_agreement(self, name: str, value: int) -> None:
        """Stop every process unless all have the same value. All must call it.

        Raises:
            ValueError: the processes have different values.
        """
        # All processes compute the variance of the value, and see that it is not zero.
        total, squares = self.sum_over_processes([value, value**2])
        if self.num_processes * squares != total**2:
            raise ValueError(
                f"all {self.num_processes} workers must have the same {name}; do they share the run's folder? "
                f"Received: {value} on worker {self.index}"
            )

    @contextmanager
    def naming_lost_processes(self) -> Iterator[None]:
        """Turn the errors of a job that has lost a process into a ConnectionError.

        If the first process was lost, on which the others depend, JAX may end this one before any error is raised.

        Raises:
            ConnectionError: another process of the job was lost or cannot be reached.
        """
        try:
            yield
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            # JAX raises some errors of communication as ValueErrors; the status before their text tells them apart.
            if self.num_processes == 1 or not re.match(_LOST_PROCESS, str(error)):
                raise
            reason = str(error).splitlines()[0]
            raise ConnectionError(
                f"another of the {self.num_processes} workers was lost ({reason}); the last checkpoint is kept. "
                f"Start all workers again to continue from it. This is worker {self.index}"
            ) from None


def attached_devices(*, tpu: str | None = None, num_devices: int | None = None, strategy: str = "auto") -> Devices:
    """Return the attached devices.

    It must be called before anything else starts JAX, because jobs of several processes, and several devices on a CPU,
    are set up first.

    Args:
        tpu: `local` for the TPU of this machine, on which the job must run; None to take what is there.
        num_devices: the number of GPUs to use; None for all. Without GPUs, the number of devices into which the CPU is
            divided, to try out a mesh.
        strategy: one of `STRATEGIES`. `auto` joins the processes that TF_CONFIG, JAX_COORDINATOR_ADDRESS or a TPU slice
            names, and uses all devices of theirs; `multi_worker` demands them; `tpu` demands a TPU.

    Raises:
        ValueError: there are no such devices, the processes do not come together, or the arguments contradict each
            other.
    """
    _check_arguments(tpu, num_devices, strategy)
    wants_tpu = tpu is not None or strategy == "tpu"
    cluster = cluster_from_environment() if strategy in ("auto", "multi_worker") or wants_tpu else None
    is_named = bool(os.environ.get(_COORDINATOR)) or (cluster is not None and cluster.size > 1)
    if strategy == "multi_worker" and not is_named and not _is_tpu_host():
        raise ValueError(
            f"`strategy` multi_worker needs the environment variable {VARIABLE} or {_COORDINATOR}. Received: neither"
        )
    joins = strategy != "one_device" and (is_named or (_is_tpu_host() and num_devices is None))
    if joins:
        if num_devices is not None:
            raise ValueError(
                "`num_devices` is for one process; each of several uses all devices that it sees. "
                f"Received: {num_devices}"
            )
        _join(cluster)
    elif num_devices is not None:
        # This is the number of devices of the CPU alone. Once JAX has started, it has what it has.
        with suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", num_devices)
    return _devices(cluster, wants_tpu=wants_tpu, num_devices=1 if strategy == "one_device" else num_devices)


def _check_arguments(tpu: str | None, num_devices: int | None, strategy: str) -> None:
    if strategy not in STRATEGIES:
        raise ValueError(
            f"`strategy` must be one of {', '.join(STRATEGIES)} with `engine` jax, which divides each batch over all "
            f"devices by itself. Received: {strategy!r}"
        )
    if num_devices is not None and num_devices < 1:
        raise ValueError(f"`num_devices` must be at least 1. Received: {num_devices}")
    if tpu not in (None, "local"):
        raise ValueError(
            "`tpu` must be local with `engine` jax: start the program on every host of the TPU "
            f"(tpu_configs/slice.sh). Received: {tpu!r}"
        )
    if tpu and strategy not in ("auto", "tpu"):
        raise ValueError(f"`tpu` needs `strategy` auto or tpu. Received: {strategy!r}")
    if num_devices is not None and (tpu or strategy == "tpu"):
        raise ValueError(f"`num_devices` is for GPUs; a TPU is used whole. Received: {num_devices}")
    if strategy == "one_device" and num_devices not in (None, 1):
        raise ValueError(f"`strategy` one_device has `num_devices` 1. Received: {num_devices}")


def _is_tpu_host() -> bool:
    """Return whether this machine has TPU chips and the library for them."""
    return importlib.util.find_spec("libtpu") is not None and bool(glob.glob("/dev/accel*") + glob.glob("/dev/vfio/*"))


def _join(cluster: Cluster | None) -> None:
    """Join the job's other processes, unless this process has done so already."""
    if jax.distributed.is_initialized():
        return
    # SIGTERM is this project's own to handle (`utils.preemption`).
    jax.config.update("jax_enable_preemption_service", False)
    try:
        if cluster is not None and cluster.size > 1:
            jax.distributed.initialize(cluster.addresses[0], cluster.size, cluster.index)
        else:
            jax.distributed.initialize()
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"the processes of the job do not come together ({reason})") from None


def _devices(cluster: Cluster | None, *, wants_tpu: bool, num_devices: int | None) -> Devices:
    try:
        attached = jax.devices()
    except RuntimeError as error:
        raise ValueError(f"JAX finds no device ({str(error).splitlines()[0]})") from None
    if wants_tpu and attached[0].platform != "tpu":
        raise ValueError(f"`tpu`: JAX finds no TPU on this machine. Received: devices of kind {attached[0].platform}")
    kinds = sorted({device.device_kind for device in attached})
    if len(kinds) > 1:
        raise ValueError(f"all devices of a job must be of one kind. Received: {', '.join(kinds)}")
    found = (
        f"{len(attached)} x {kinds[0]}" if cluster is None else f"{cluster.describe()}, {len(attached)} x {kinds[0]}"
    )
    if num_devices is None:
        num_devices = len(attached)
    if num_devices > len(attached):
        raise ValueError(f"`num_devices` must be at most the {len(attached)} found. Received: {num_devices}")
    # The rows of a process must be next to each other, whatever the order in which the hardware counts.
    ordered = sorted(attached, key=lambda device: (device.process_index, device.id))
    return Devices(ordered[:num_devices], num_processes=jax.process_count(), index=jax.process_index(), found=found)
