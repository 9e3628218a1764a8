"""The engine that trains through TensorFlow: one device, or replicas under a `tf.distribute` strategy."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

import keras
import tensorflow as tf

from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.objectives.objective import Objective
from bert_tf.training import native_precision
from bert_tf.training.engine import Compute, DatasetFrom, Evaluate, OutputsOf, State
from bert_tf.training.tensorflow_engine.averages import averaging
from bert_tf.training.tensorflow_engine.distribution import Distribution, make_distribution
from bert_tf.training.tensorflow_engine.evaluation import make_evaluation, make_outputs
from bert_tf.training.tensorflow_engine.inner_loop import InnerLoop
from bert_tf.training.tensorflow_engine.profiling import TensorFlowProfile
from bert_tf.training.tensorflow_engine.state import TrainState
from bert_tf.training.tensorflow_engine.step import TrainStep


class TensorFlowEngine:
    """A `training.engine.Engine` on TensorFlow.

    Args:
        distribution: the devices; None for one device.
    """

    def __init__(self, distribution: Distribution | None = None) -> None:
        self.distribution = distribution or Distribution()

    @classmethod
    def for_devices(cls, *, tpu: str | None = None, num_devices: int | None = None, strategy: str = "auto") -> Self:
        """Return the engine for the attached devices. Arguments and errors are those of `make_distribution`."""
        return cls(make_distribution(tpu, num_devices, strategy))

    @property
    def num_devices(self) -> int:
        """The number of replicas."""
        return self.distribution.num_replicas

    @property
    def num_processes(self) -> int:
        """The number of workers."""
        return self.distribution.cluster.size

    @property
    def is_chief(self) -> bool:
        """Return whether this worker writes the run's folder."""
        return self.distribution.is_chief

    @property
    def is_tpu(self) -> bool:
        """Return whether the replicas are TPU cores."""
        return self.distribution.is_tpu

    @property
    def has_fused_attention(self) -> bool:
        """Return False: TensorFlow has no kernel for fused attention."""
        return False

    def native_precision(self) -> native_precision.NativePrecision:
        """Return the precision that the devices of this worker multiply natively, the oldest of several GPUs."""
        if self.is_tpu:
            return native_precision.TPU
        details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.get_visible_devices("GPU")]
        if details:
            versions = [found.get("compute_capability") for found in details]
            return native_precision.of_gpu(None if None in versions else min(versions))
        return native_precision.of_cpu(native_precision.cpu_flags())

    def describe(self) -> str:
        """Return a text that says which devices were found and which are used."""
        return f"found {self.distribution.found or 'one device'}; runs on {self.distribution.describe()}"

    def check_batch(self, field: str, rows: int) -> None:
        """Check that a global batch can be divided over the replicas.

        Raises:
            ValueError: the number of rows is not a multiple of the number of replicas.
        """
        self.distribution.check_batch(field, rows)

    def make_state(self, make_model: Callable[[], keras.Model], train: TrainConfig) -> TrainState:
        """Return a new state, made in the strategy's scope.

        Raises:
            ValueError: `train.frozen` names no weight, or leaves none.
        """
        with self.distribution.scope():
            return TrainState(make_model(), train.precision, train)

    def make_steps(
        self, state: State, objective: Objective, *, train: TrainConfig, optimizer: OptimizerConfig
    ) -> InnerLoop:
        """Return the compiled loop that trains `state` and moves its averages, if any."""
        assert isinstance(state, TrainState), "an engine trains the states that it has made"
        step: Callable[[Any], Any] = TrainStep(
            state, objective, train=train, optimizer=optimizer, distribution=self.distribution
        )
        if state.averages is not None:
            step = averaging(step, state.averages, train.ema_decay, step=state.step, distribution=self.distribution)
        return InnerLoop(step, self.distribution)

    def batches(self, dataset_from: DatasetFrom, start: int) -> Iterator[Any]:
        """Return the global batches from step `start` on, placed on the replicas."""
        return iter(self.distribution.read(lambda shard: dataset_from(start, shard), endless=True))

    def make_evaluation(self, model: keras.Model, objective: Objective) -> Evaluate:
        """Return a function that evaluates the model on a whole data set of batches (`evaluation.make_evaluation`)."""
        return make_evaluation(model, objective, self.distribution)

    def make_outputs(
        self,
        model: keras.Model,
        batch_size: int,
        objective: Objective | None = None,
        *,
        compute: Compute | None = None,
    ) -> OutputsOf:
        """Return a function that gives the model's outputs for encoded examples (`evaluation.make_outputs`)."""
        return make_outputs(model, self.distribution, batch_size, objective=objective, compute=compute)

    def sum_over_processes(self, values: Sequence[float]) -> list[float]:
        """Return the sum of each number over the workers. All of them must call it at the same point."""
        return self.distribution.sum_over_workers(values)

    def require_agreement(self, name: str, value: int) -> None:
        """Stop every worker unless all have the same value. All must call it.

        Raises:
            ValueError: the workers have different values.
        """
        self.distribution.require_agreement(name, value)

    def naming_lost_processes(self) -> AbstractContextManager[None]:
        """Return a context in which the loss of another worker raises a ConnectionError."""
        return self.distribution.naming_lost_workers()

    def profile(self, folder: str, steps: Sequence[int]) -> TensorFlowProfile:
        """Return a context that can profile some steps into `folder`, for TensorBoard."""
        return TensorFlowProfile(folder, steps)

    def device_memory_gib(self) -> float | None:
        """Return the peak memory of the first accelerator, in GiB, or None if it is not reported."""
        for kind in ("GPU", "TPU"):
            if tf.config.list_logical_devices(kind):
                with contextlib.suppress(ValueError, tf.errors.OpError):
                    return tf.config.experimental.get_memory_info(f"{kind}:0")["peak"] / 2.0**30
        return None
