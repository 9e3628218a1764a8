"""The best evaluation's weights, kept beside the checkpoints of a run, and when to stop waiting for better ones.

```
model_dir/best/checkpoints/step-00000300/    the weights alone, without what the optimizer keeps
```
"""

import math
import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import keras

from bert_tf.models.weights import named_weights
from bert_tf.runs import checkpoints
from bert_tf.runs.metrics_log import Evaluation
from bert_tf.training.tensorflow_engine import averages

_Read = TypeVar("_Read")
_LOWER_IS_BETTER = ("loss", "mse")


def gain(score: str, value: float) -> float:
    """`value` as a number of which more is better; a score that is not a number is the worst.

    >>> gain("mse", 0.5), gain("accuracy", 0.5), gain("pearson", float("nan"))
    (-0.5, 0.5, -inf)
    """
    if math.isnan(value):
        return -math.inf
    return -value if score.endswith(_LOWER_IS_BETTER) else value


def best_evaluation(evaluations: Sequence[Evaluation], score: str) -> int:
    """The place of the best evaluation, the first of equals."""
    gains = [gain(score, values[score]) for _, values in evaluations]
    return gains.index(max(gains))


class Keeper:
    """Called after each evaluation: keeps the weights of the best, and says when to stop.

    Args:
        run_dir: the run's folder.
        model: whose weights are kept.
        score: what is compared.
        keep: whether weights are kept.
        patience: evaluations without a better one after which to stop; 0 for never.

    Attributes:
        best: step and figures of the best evaluation; None before the first.
    """

    def __init__(self, run_dir: str, model: keras.Model, score: str, keep: bool, patience: int) -> None:
        self.run_dir = run_dir
        self.model = model
        self.score = score
        self.keep = keep
        self.patience = patience
        self.best: Evaluation | None = None

    def __call__(self, evaluations: Sequence[Evaluation]) -> bool:
        """Whether to stop after these evaluations, the newest last; keeps the weights if that is the best."""
        place = best_evaluation(evaluations, self.score)
        self.best = evaluations[place]
        since = len(evaluations) - 1 - place
        if self.keep and not since:
            checkpoints.save(_folder(self.run_dir), self.best[0], named_weights(self.model), keep=1)
        return bool(self.patience) and since >= self.patience


def _folder(run_dir: str) -> str:
    return os.path.join(run_dir, "best")


def read(run_dir: str, read_checkpoint: Callable[[checkpoints.Checkpoint], _Read], flag: str = "--model_dir") -> _Read:
    """What `read_checkpoint` makes of the checkpoint that a run's folder stands for.

    That is the best evaluation's where it was kept, else the newest that can be read (`checkpoints.read_newest`).

    Raises:
        FileNotFoundError: there is no complete checkpoint.
        ValueError: none can be read.
    """
    best = _folder(run_dir)
    folder = best if checkpoints.newest_checkpoint(best) is not None else run_dir
    found = checkpoints.read_newest(folder, read_checkpoint)
    if found is None:
        raise FileNotFoundError(f"{flag} must hold a complete checkpoint. Received: {run_dir!r}")
    return found[1]


def restore(run_dir: str, model: keras.Model, use_average: bool = True, flag: str = "--model_dir") -> None:
    """Give the model the weights that the run's folder stands for.

    Args:
        run_dir: the run's folder.
        model: of the run.
        use_average: whether those are the averages, where the run has some (`train.use_average`).
        flag: where `run_dir` came from, for messages.

    Raises:
        FileNotFoundError: there is no complete checkpoint.
        ValueError: it is damaged, or of another model.
    """
    variables = named_weights(model)

    def restored(checkpoint: checkpoints.Checkpoint) -> None:
        tensors = averages.of_result(checkpoints.tensor_names(checkpoint), use_average)
        checkpoints.restore(checkpoint, {tensors.get(name, name): variable for name, variable in variables.items()})

    read(run_dir, restored, flag)
