"""The result of a run: the weights of its best evaluation if they were kept, else those of the newest checkpoint.

```
run folder/best/checkpoints/step-00000300/    the weights alone, without the optimizer's state
```
"""

import math
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from bert_tf.models.weights import named_weights
from bert_tf.optimization import AVERAGE_PREFIX
from bert_tf.runs import checkpoints
from bert_tf.runs.metrics_log import Evaluation

if TYPE_CHECKING:
    import keras

_Read = TypeVar("_Read")
_LOWER_IS_BETTER = ("loss", "mse", "perplexity")


def result_tensors(names: Iterable[str], use_average: bool) -> dict[str, str]:
    """Return, for the name of each weight, the name of the checkpoint's tensor that is its result.

    Args:
        names: the names of the checkpoint's tensors.
        use_average: whether the average of a weight, if there is one, replaces it (`train.use_average`). The checkpoint
                of the best evaluation holds the evaluated weights, without averages.
    """
    names = set(names)
    weights = [name for name in names if ":" not in name and name != "step"]
    return {name: AVERAGE_PREFIX + name if use_average and AVERAGE_PREFIX + name in names else name for name in weights}


def gain(score: str, value: float) -> float:
    """Return `value` as a number that is greater for better scores. NaN becomes the worst.

    >>> gain("mse", 0.5), gain("accuracy", 0.5), gain("pearson", float("nan"))
    (-0.5, 0.5, -inf)
    """
    if math.isnan(value):
        return -math.inf
    return -value if score.endswith(_LOWER_IS_BETTER) else value


def best_evaluation(evaluations: Sequence[Evaluation], score: str) -> int:
    """Return the index of the best evaluation, the first of equal ones."""
    gains = [gain(score, values[score]) for _, values in evaluations]
    return gains.index(max(gains))


class BestEvaluation:
    """A hook that keeps the weights of the best evaluation, and decides after each evaluation whether to stop.

    Args:
        run_dir: the run's folder.
        model: the model whose weights are kept.
        score: the metric by which evaluations are compared.
        keep: whether weights are kept.
        patience: the number of evaluations without a better score after which training stops; 0 for never.

    Attributes:
        best: the step and the metrics of the best evaluation; None before the first.
    """

    def __init__(self, run_dir: str, model: "keras.Model", score: str, *, keep: bool, patience: int) -> None:
        self.run_dir = run_dir
        self.model = model
        self.score = score
        self.keep = keep
        self.patience = patience
        self.best: Evaluation | None = None

    def __call__(self, evaluations: Sequence[Evaluation]) -> bool:
        """Keep the weights if the newest evaluation, which is the last, is the best, and return whether to stop."""
        index = best_evaluation(evaluations, self.score)
        self.best = evaluations[index]
        since = len(evaluations) - 1 - index
        if self.keep and not since:
            checkpoints.save(_folder(self.run_dir), self.best[0], named_weights(self.model), keep=1)
        return bool(self.patience) and since >= self.patience


def _folder(run_dir: str) -> str:
    return os.path.join(run_dir, "best")


def has_best(run_dir: str) -> bool:
    """Return whether the run's result is the weights of its best evaluation."""
    return checkpoints.newest_checkpoint(_folder(run_dir)) is not None


def read_result(run_dir: str, read_checkpoint: Callable[[checkpoints.Checkpoint], _Read]) -> _Read:
    """Return the result of `read_checkpoint` for the checkpoint that is the run's result.

    Raises:
        FileNotFoundError: there is no complete checkpoint.
        ValueError: no checkpoint can be read.
    """
    folder = _folder(run_dir) if has_best(run_dir) else run_dir
    found = checkpoints.read_newest(folder, read_checkpoint)
    if found is None:
        raise FileNotFoundError(f"`run_dir` must hold a complete checkpoint. Received: {run_dir!r}")
    return found[1]


def restore_result(run_dir: str, model: "keras.Model", *, use_average: bool = True) -> None:
    """Assign the weights of the run's result to the model.

    Args:
        run_dir: the run's folder.
        model: the run's model.
        use_average: whether to take the averages, if the run has any (`train.use_average`).

    Raises:
        FileNotFoundError: there is no complete checkpoint.
        ValueError: the checkpoint is damaged, or belongs to another model.
    """
    variables = named_weights(model)

    def restored(checkpoint: checkpoints.Checkpoint) -> None:
        tensors = result_tensors(checkpoints.tensor_names(checkpoint), use_average)
        checkpoints.restore(checkpoint, {tensors.get(name, name): variable for name, variable in variables.items()})

    read_result(run_dir, restored)
