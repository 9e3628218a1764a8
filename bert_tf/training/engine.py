"""The protocol between the host loop and the engine that runs the steps.

An engine makes the state of a training, runs steps on it, evaluates, and knows the devices and processes of the job.
The loop, the launchers, fine-tuning and evaluation use only this protocol, which `tensorflow_engine` and
`jax_engine` implement.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.features import Batch
from bert_tf.objectives.objective import Objective
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.training.batch_shards import BatchShard
from bert_tf.training.native_precision import NativePrecision

if TYPE_CHECKING:
    import keras

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")
"""The names of the ways to use devices (`choose_engine.make_engine`)."""

Dataset: TypeAlias = Iterable[Any]
"""A `tf.data.Dataset` of batches, which feeds every engine."""


DatasetFrom = Callable[[int, BatchShard], Dataset]
"""A function from (step, shard) to this shard of the endless global batches from this step on."""

Evaluate = Callable[[Dataset], dict[str, float]]
"""A function from global batches, the last one filled up with weight 0, to losses and metrics over all of them."""

Compute = Callable[[Any, Batch], Any]
"""A function of a Keras model and a batch, of `keras.ops`, to a structure of tensors [B, ...]."""

OutputsOf = Callable[[EncodedExamples], tuple[list[Any], dict[str, float]]]
"""A function from encoded examples to the outputs for each (NumPy arrays without a batch axis), and metrics."""


class State(Protocol):
    """The state of a training: the model's weights, the optimizer's moments, the number of updates."""

    @property
    def model(self) -> "keras.Model":
        """The model that is trained."""
        ...

    @property
    def weights(self) -> Mapping[str, Any]:
        """The trained weights by name, in the order in which steps count them."""
        ...

    @property
    def num_updates(self) -> int:
        """The number of updates made so far."""
        ...

    def variables(self) -> dict[str, Any]:
        """Return everything that a checkpoint holds, by name; each value has `numpy()`, `assign()` and `shape`."""
        ...

    @property
    def is_read_together(self) -> bool:
        """Return whether all processes must read the variables together, because each has a part of some."""
        ...

    def start_averages(self) -> None:
        """Start the moving averages, if any, from the present weights."""
        ...

    def evaluated_weights(self) -> AbstractContextManager[None]:
        """Return a context in which the model has the weights to evaluate: the averages, if there are some."""
        ...

    def weight_norm(self) -> float:
        """Return the norm of all trained weights together."""
        ...

    def of_part(self, model: "keras.Model") -> "State":
        """Return the state of a part of the model, whose steps count as steps of this state.

        They change nothing else: neither the weights of other parts, nor their moments and averages.

        Args:
            model: a model whose weights are some of this state's.
        """
        ...


class Steps(Protocol):
    """A compiled loop of training steps.

    Attributes:
        names: the names of a step's metrics, known once the loop has run.
    """

    names: list[str]

    def __call__(self, batches: Iterator[Any], count: int) -> tuple[np.ndarray, float]:
        """Make `count` updates from the next batches.

        Returns:
            The metrics of each step as (sum, weight) pairs, float32 [count, names, 2], and the seconds for which steps
            waited for their batches.
        """
        ...


class StepProfiler(Protocol):
    """A profile of some steps."""

    def at(self, step: int) -> None:
        """Begin or end the profile if this is due after `step` updates."""
        ...


class Engine(Protocol):
    """The devices and processes of a job, and the steps that run on them."""

    @property
    def num_devices(self) -> int:
        """The number of devices that each have a part of the global batch."""
        ...

    @property
    def num_processes(self) -> int:
        """The number of processes that run this job together."""
        ...

    @property
    def is_chief(self) -> bool:
        """Return whether this process writes the run's folder: the only one, or the first of several."""
        ...

    @property
    def is_tpu(self) -> bool:
        """Return whether the devices are TPU cores, which want batches of one shape."""
        ...

    @property
    def has_fused_attention(self) -> bool:
        """Return whether the devices have a kernel for fused attention (`layers.fused_attention`)."""
        ...

    def native_precision(self) -> NativePrecision:
        """Return the precision that the devices of this process multiply natively."""
        ...

    def describe(self) -> str:
        """Return a text that says which devices were found and which are used."""
        ...

    def check_batch(self, field: str, rows: int) -> None:
        """Check that a global batch can be divided over the devices.

        Args:
            field: the setting that holds the size, for the message.
            rows: the number of rows in the batch.

        Raises:
            ValueError: the number of rows is not a multiple of the number of devices.
        """
        ...

    def make_state(self, make_model: Callable[[], "keras.Model"], train: TrainConfig) -> State:
        """Return a new state.

        Args:
            make_model: a function that makes the model. The engine calls it where the variables must be created.
            train: the precision, the frozen weights and the averages.

        Raises:
            ValueError: `train.frozen` names no weight, or leaves none.
        """
        ...

    def make_steps(
        self, state: State, objective: Objective, *, train: TrainConfig, optimizer: OptimizerConfig
    ) -> Steps:
        """Return the compiled loop that trains `state`.

        Args:
            state: the state, made by `make_state`.
            objective: the losses and metrics.
            train: the seed, the learning rate, the averages and the settings of compilation.
            optimizer: the update rule.
        """
        ...

    def batches(self, dataset_from: DatasetFrom, start: int) -> Iterator[Any]:
        """Return the global batches from step `start` on, placed on the devices. Each process reads its own rows."""
        ...

    def make_evaluation(self, model: "keras.Model", objective: Objective) -> Evaluate:
        """Return a function that evaluates the model, without dropout, on a whole data set of batches."""
        ...

    def make_outputs(
        self,
        model: "keras.Model",
        batch_size: int,
        objective: Objective | None = None,
        *,
        compute: Compute | None = None,
    ) -> OutputsOf:
        """Return a function that gives the model's outputs, without dropout, for each of some encoded examples.

        Args:
            model: the model.
            batch_size: the number of rows at a time, which is rounded up to a multiple of the number of devices.
            objective: the losses and metrics of labelled examples; None for none.
            compute: what is computed instead of the model's call, such as the texts that it generates; None for that.
        """
        ...

    def sum_over_processes(self, values: Sequence[float]) -> list[float]:
        """Return the sum of each number over the processes. All of them must call it at the same point."""
        ...

    def require_agreement(self, name: str, value: int) -> None:
        """Stop every process unless all have the same value. All must call it.

        Raises:
            ValueError: the processes have different values.
        """
        ...

    def naming_lost_processes(self) -> AbstractContextManager[None]:
        """Return a context in which the loss of another process of the job raises a ConnectionError."""
        ...

    def profile(self, folder: str, steps: Sequence[int]) -> AbstractContextManager[StepProfiler]:
        """Return a context that profiles the steps from `steps[0]` to `steps[1]` into `folder`; () for no profile."""
        ...

    def device_memory_gib(self) -> float | None:
        """Return the peak memory of one device, in GiB; None where the device does not report it."""
        ...
