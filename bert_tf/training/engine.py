"""The protocol between the host loop and whatever runs the steps.

An engine makes the state of a training, runs steps on it, evaluates, and knows the devices and processes of the job.
The loop, the launchers, fine-tuning and evaluation see this protocol alone; `tensorflow_engine` implements it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.objectives.objective import Objective
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.training.batch_shards import BatchShard

if TYPE_CHECKING:
    import keras

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")
"""The ways to use devices that can be asked for; see `choose_engine.make_engine`."""

Dataset: TypeAlias = Iterable[Any]
"""A `tf.data.Dataset` of batches, which feeds every engine."""


DatasetFrom = Callable[[int, BatchShard], Dataset]
"""(step, shard) -> that shard of the global batches from this step on, without end."""

Evaluate = Callable[[Dataset], dict[str, float]]
"""Global batches, the last one filled up at weight 0 -> losses and metrics over all of them."""

OutputsOf = Callable[[EncodedExamples], tuple[list[Any], dict[str, float]]]
"""N encoded examples -> the model's outputs for each (NumPy arrays without a batch axis), and metrics over all."""


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

    def start_averages(self) -> None:
        """Start the moving averages, if any, from the present weights."""
        ...

    def evaluated_weights(self) -> AbstractContextManager[None]:
        """Return a context in which the model has the weights to evaluate: the averages, if there are some."""
        ...

    def weight_norm(self) -> float:
        """Return the norm of all trained weights together."""
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
        """Begin or end the profile where that is due when `step` updates are made."""
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

    def describe(self) -> str:
        """Return a text that says which devices were found and which are used."""
        ...

    def check_batch(self, field: str, rows: int) -> None:
        """Refuse a global batch that cannot be divided over the devices.

        Args:
            field: the setting that has the size, for the message.
            rows: the size.

        Raises:
            ValueError: it is no multiple of the number of devices.
        """
        ...

    def make_state(self, make_model: Callable[[], "keras.Model"], train: TrainConfig) -> State:
        """Return a new state.

        Args:
            make_model: makes the model, where its variables belong.
            train: precision, frozen weights, averages.

        Raises:
            ValueError: `train.frozen` names no weight, or leaves none.
        """
        ...

    def make_steps(
        self, state: State, objective: Objective, *, train: TrainConfig, optimizer: OptimizerConfig
    ) -> Steps:
        """Return the compiled loop that trains `state`.

        Args:
            state: made by `make_state`.
            objective: losses and metrics.
            train: seed, learning rate, averages, and how the step is compiled.
            optimizer: the update rule.
        """
        ...

    def batches(self, dataset_from: DatasetFrom, start: int) -> Iterator[Any]:
        """Return the global batches from step `start` on, placed on the devices; each process reads its own rows."""
        ...

    def make_evaluation(self, model: "keras.Model", objective: Objective) -> Evaluate:
        """Return a function that evaluates the model, without dropout, on a whole data set of batches."""
        ...

    def make_outputs(self, model: "keras.Model", batch_size: int, objective: Objective | None = None) -> OutputsOf:
        """Return a function that gives the model's outputs, without dropout, for each of some encoded examples.

        Args:
            model: what is asked.
            batch_size: rows at a time, rounded up to a multiple of the number of devices.
            objective: losses and metrics of labelled examples; None for none.
        """
        ...

    def sum_over_processes(self, values: Sequence[float]) -> list[float]:
        """Return the sum of each number over the processes. All of them must call it, at the same place."""
        ...

    def require_agreement(self, name: str, value: int) -> None:
        """Stop every process if they do not all have the same value. All must call it.

        Raises:
            ValueError: they do not.
        """
        ...

    def naming_lost_processes(self) -> AbstractContextManager[None]:
        """Return a context in which the loss of another process of the job raises a ConnectionError that says so."""
        ...

    def profile(self, folder: str, steps: Sequence[int]) -> AbstractContextManager[StepProfiler]:
        """Return a context that profiles the steps from `steps[0]` to `steps[1]` into `folder`; () for no profile."""
        ...

    def device_memory_gib(self) -> float | None:
        """Return the peak memory of one device, in GiB; None where the device does not report it."""
        ...
