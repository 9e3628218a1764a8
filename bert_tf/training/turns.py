"""The turns of the objectives of a training: which of them a step is for, and the steps themselves.

A training has one objective, or several parts that take turns, such as the tasks of a multi-task model. Each part has
an objective, batches and a program of its own, as if it were trained alone, and all change one state. The alternative,
one program with a conditional for each head, would be one program a length for all tasks, but would keep the outputs of
every head in memory, pad the rows of all tasks to one length on TPUs, and need a conditional in every objective. The
price of the turns is a return to the host where the part changes.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.objectives.objective import Objective
from bert_tf.training.engine import DatasetFrom, Engine, State, Steps
from bert_tf.training.step_metrics import NONFINITE_GRADIENT
from bert_tf.training.throughput import counting_tokens

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Part:
    """An objective and what it is trained on.

    Attributes:
        objective: the losses and metrics.
        data: a function that returns a shard of the global batches from a step of this part on.
        model_in: returns the part of the state's model that is trained.
    """

    objective: Objective
    data: DatasetFrom
    model_in: Callable[["keras.Model"], "keras.Model"] = lambda model: model


@dataclasses.dataclass(frozen=True)
class Turns:
    """The parts of a training, and the part of each step.

    Attributes:
        parts: the parts.
        order: the number of the part of each step, int [S]; None for a training with one part.
    """

    parts: Sequence[Part]
    order: np.ndarray | None = None

    @classmethod
    def of_one(cls, objective: Objective, data: DatasetFrom) -> "Turns":
        """Return the turns of a training with one objective, whose data begin at any step."""
        return cls((Part(objective, data),))

    def steps_before(self, step: int) -> list[int]:
        """Return the number of steps of each part before a step."""
        if self.order is None:
            return [step]
        return np.bincount(self.order[:step], minlength=len(self.parts)).tolist()

    def runs(self, start: int, count: int) -> Iterator[tuple[int, int]]:
        """Yield the part and the number of each run of steps of one part, among `count` steps from `start` on."""
        if self.order is None:
            yield 0, count
            return
        parts = self.order[start : start + count]
        edges = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), count]
        for first, last in itertools.pairwise(edges):
            yield int(parts[first]), last - first

    def batches(self, engine: Engine, start: int) -> list[Iterator[Any]]:
        """Return the batches of each part from step `start` on, placed on the devices."""
        before = self.steps_before(start)
        return [engine.batches(part.data, first) for part, first in zip(self.parts, before, strict=True)]


def drawn(probabilities: np.ndarray, seed: int) -> np.ndarray:
    """Return the part of each step, int [S], drawn by its probabilities.

    The part of step s depends on the seed, s and the probabilities alone.

    Args:
        probabilities: the probabilities of M parts in each step, float [S, M].
        seed: the random seed.
    """
    # RandomState's numbers are the same in every version of NumPy.
    uniform = np.random.RandomState(seed).random_sample(len(probabilities))
    edges = np.cumsum(probabilities, axis=1)[:, :-1]
    return (uniform[:, None] >= edges).sum(axis=1)


class TurnSteps:
    """The compiled loops of all parts, which run in turns on one state.

    Args:
        engine: the devices and processes.
        state: the state.
        turns: the parts and their order.
        train: as for `Engine.make_steps`.
        optimizer: as for `Engine.make_steps`.

    Attributes:
        names: the names of the metrics of the last call.
    """

    def __init__(
        self, engine: Engine, state: State, turns: Turns, *, train: TrainConfig, optimizer: OptimizerConfig
    ) -> None:
        self.names: list[str] = []
        self._state, self._turns = state, turns
        numbers = {name: number for number, name in enumerate(state.weights, 1)}
        self._steps: list[Steps] = []
        self._numbers: list[np.ndarray] = []
        for part in turns.parts:
            own = state.of_part(part.model_in(state.model))
            self._steps.append(
                engine.make_steps(own, counting_tokens(part.objective), train=train, optimizer=optimizer)
            )
            self._numbers.append(np.array([0, *(numbers[name] for name in own.weights)], np.float32))

    def __call__(self, batches: Sequence[Iterator[Any]], count: int) -> tuple[np.ndarray, float]:
        """Make `count` updates from the next batches of the parts whose turn it is.

        Returns:
            What `training.engine.Steps` returns. The metrics of the parts whose turn it is not have the weight 0.
        """
        found, waited = [], 0.0
        for part, number in self._turns.runs(self._state.num_updates, count):
            values, seconds = self._steps[part](batches[part], number)
            found.append((part, values))
            waited += seconds
        self.names = list(dict.fromkeys(name for part, _ in found for name in self._steps[part].names))
        columns = {name: column for column, name in enumerate(self.names)}
        joined = []
        for part, values in found:
            names = self._steps[part].names
            of_all = np.zeros((len(values), len(self.names), 2), np.float32)
            of_all[:, [columns[name] for name in names]] = values
            if NONFINITE_GRADIENT in names:  # count weights as the whole state does
                column = of_all[:, columns[NONFINITE_GRADIENT], 0]
                column[:] = self._numbers[part][column.astype(int)]
            joined.append(of_all)
        return np.concatenate(joined), waited
