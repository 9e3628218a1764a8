"""The engine that trains through JAX: each step is one program over the global batch, partitioned over a mesh."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

import keras

from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.layers.fused_attention import PLATFORMS
from bert_tf.objectives.objective import Objective
from bert_tf.training.engine import Compute, DatasetFrom, Evaluate, OutputsOf, State
from bert_tf.training.jax_engine.devices import Devices, attached_devices
from bert_tf.training.jax_engine.evaluation import make_evaluation, make_outputs
from bert_tf.training.jax_engine.inner_loop import InnerLoop
from bert_tf.training.jax_engine.profiling import JaxProfile
from bert_tf.training.jax_engine.state import JaxState
from bert_tf.training.jax_engine.step import TrainStep
from bert_tf.training.native_precision import NativePrecision


class JaxEngine:
    """A `training.engine.Engine` on JAX.

    Args:
        devices: the devices; None for the first one.
    """

    def __init__(self, devices: Devices | None = None) -> None:
        self.devices = devices or Devices()

    @classmethod
    def for_devices(cls, *, tpu: str | None = None, num_devices: int | None = None, strategy: str = "auto") -> Self:
        """Return the engine for the attached devices. Arguments and errors are those of `attached_devices`."""
        return cls(attached_devices(tpu=tpu, num_devices=num_devices, strategy=strategy))

    @property
    def num_devices(self) -> int:
        """The number of devices of all processes."""
        return len(self.devices.devices)

    @property
    def num_processes(self) -> int:
        """The number of processes."""
        return self.devices.num_processes

    @property
    def is_chief(self) -> bool:
        """Return whether this process writes the run's folder."""
        return self.devices.index == 0

    @property
    def is_tpu(self) -> bool:
        """Return whether the devices are TPU cores."""
        return self.devices.platform == "tpu"

    @property
    def has_fused_attention(self) -> bool:
        """Return whether the devices have a kernel of fused attention."""
        return self.devices.platform in PLATFORMS

    def native_precision(self) -> NativePrecision:
        """Return the precision that the devices multiply natively."""
        return self.devices.native_precision()

    def describe(self) -> str:
        """Return a text that says which devices were found and which are used."""
        return f"found {self.devices.found or 'one device'}; runs on {self.devices.describe()}"

    def check_batch(self, field: str, rows: int) -> None:
        """Check that a global batch can be divided over the devices.

        Raises:
            ValueError: the number of rows is not a multiple of the number of devices.
        """
        self.devices.check_batch(field, rows)

    def make_state(self, make_model: Callable[[], keras.Model], train: TrainConfig) -> JaxState:
        """Return a new state.

        Raises:
            ValueError: `train.frozen` names no weight, or leaves none.
        """
        return JaxState(make_model(), self.devices, train)

    def make_steps(
        self, state: State, objective: Objective, *, train: TrainConfig, optimizer: OptimizerConfig
    ) -> InnerLoop:
        """Return the compiled loop that trains `state` and moves its averages, if any."""
        assert isinstance(state, JaxState), "an engine trains the states that it has made"
        step = TrainStep(state, objective, train=train, optimizer=optimizer, devices=self.devices)
        return InnerLoop(state, step, self.devices)

    def batches(self, dataset_from: DatasetFrom, start: int) -> Iterator[Any]:
        """Return the global batches from step `start` on, placed on the devices one ahead."""
        own_rows: Any = dataset_from(start, self.devices.shard)
        ahead: Any = None
        for batch in own_rows.as_numpy_iterator():
            placed = self.devices.place_rows(batch)
            if ahead is not None:
                yield ahead
            ahead = placed
        if ahead is not None:
            yield ahead

    def make_evaluation(self, model: keras.Model, objective: Objective) -> Evaluate:
        """Return a function that evaluates the model on a whole data set of batches (`evaluation.make_evaluation`)."""
        return make_evaluation(model, objective, self.devices)

    def make_outputs(
        self,
        model: keras.Model,
        batch_size: int,
        objective: Objective | None = None,
        *,
        compute: Compute | None = None,
    ) -> OutputsOf:
        """Return a function that gives the model's outputs for encoded examples (`evaluation.make_outputs`)."""
        return make_outputs(model, self.devices, batch_size, objective=objective, compute=compute)

    def sum_over_processes(self, values: Sequence[float]) -> list[float]:
        """Return the sum of each number over the processes. All of them must call it at the same point."""
        return self.devices.sum_over_processes(values)

    def require_agreement(self, name: str, value: int) -> None:
        """Stop every process unless all have the same value. All must call it.

        Raises:
            ValueError: the processes have different values.
        """
        self.devices.require_agreement(name, value)

    def naming_lost_processes(self) -> AbstractContextManager[None]:
        """Return a context in which the loss of another process raises a ConnectionError."""
        return self.devices.naming_lost_processes()

    def profile(self, folder: str, steps: Sequence[int]) -> JaxProfile:
        """Return a context that can profile some steps into `folder`, for TensorBoard."""
        return JaxProfile(folder, steps)

    def device_memory_gib(self) -> float | None:
        """Return the peak memory of this process's first device, in GiB, or None if it is not reported."""
        own = next(device for device in self.devices.devices if device.process_index == self.devices.index)
        peak = (own.memory_stats() or {}).get("peak_bytes_in_use")
        return None if peak is None else peak / 2.0**30
