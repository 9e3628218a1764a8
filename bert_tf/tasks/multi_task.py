"""Multi-task learning: several fine-tuning tasks that share one encoder (Liu et al. 2019, "MT-DNN").

A batch is of one task, so that only this task's head is computed and trained, rows of similar length meet, and a loss
that compares rows compares those of one task. The model for each task is an ordinary one (`BertMultiTask.members`): it
is trained by the task's own objective on the task's own batches, evaluated, served and exported like any other.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from bert_tf.configs import BertConfig
from bert_tf.configs.multi_task import MultiTaskConfig
from bert_tf.examples import Examples
from bert_tf.tasks.base import Member, Task, Trainable

_LAST_EXPONENT = 0.2
"""The exponent at the end of `annealed` sampling (Stickland and Murray 2019, section 3.1)."""


class MultiTask(Trainable):
    """Several tasks on one encoder. Their scores are named `<task>/<score>`; the main one is the mean of theirs.

    A label is named `<task>/<label>` among the labels of all tasks.

    Args:
        config: the settings.
        tasks: the tasks by name, made of the settings.
    """

    kind = "multi_task"
    pipeline_tag = "other"

    def __init__(self, config: MultiTaskConfig, tasks: Mapping[str, Task]) -> None:
        self.config = config
        self._tasks = dict(tasks)

    @classmethod
    def model_class(cls) -> Any:
        """Return `BertMultiTask`."""
        from bert_tf.models.multi_task import BertMultiTask

        return BertMultiTask

    def labels_of_parts(self, train: Examples, *others: Examples) -> tuple[str, ...]:
        """Return the labels of all parts of all tasks, those of each in the order of their ids."""
        labels = []
        for name, task in self._tasks.items():
            own = task.labels_of_parts(train.of_task(name), *(part.of_task(name) for part in others))
            labels += [f"{name}/{label}" for label in own]
        return tuple(labels)

    def members(self, labels: Sequence[str]) -> tuple[Member, ...]:
        """Return the tasks, in the order of the settings."""
        own = _by_task(labels)
        return tuple(
            Member(self._tasks[member.name], own.get(member.name, ()), member.name, member.loss_weight)
            for member in self.config.tasks
        )

    def shares(self, sizes: Sequence[int], progress: np.ndarray) -> np.ndarray:
        """Return N ** e / the sum over all tasks, for tasks of N rows and the exponent e of the sampling."""
        exponents = {
            "proportional": np.ones(len(progress)),
            "square_root": np.full(len(progress), 0.5),
            "temperature": np.full(len(progress), 1 / (self.config.temperature or 1.0)),
            "annealed": 1 - (1 - _LAST_EXPONENT) * np.asarray(progress),
            "uniform": np.zeros(len(progress)),
        }[self.config.sampling]
        powers = np.asarray(sizes, np.float64) ** exponents[:, None]
        return powers / powers.sum(axis=1, keepdims=True)

    def joined_scores(self, scores: Mapping[Member, dict[str, Any]]) -> dict[str, Any]:
        """Return the scores of all tasks by name, and `mean_score`, the mean of their main scores."""
        main = [found[member.task.main_score(member.labels)] for member, found in scores.items()]
        named = {member.named(name): value for member, found in scores.items() for name, value in found.items()}
        return {"mean_score": float(np.mean(main))} | named

    def kept_heads(self, task: str, labels: Sequence[str], *, own: Sequence[str]) -> dict[str, str]:
        """Return the heads to go on with: those of the same name and labels, or of the only task of this kind.

        So a task is added to a run, of several tasks or of one: the heads that exist are kept, and the new one starts
        from random weights. A task with other labels than before starts anew.
        """
        before, members = _by_task(labels), self.members(own)
        alike = [each.name for each in members if each.task.kind == task and each.labels == tuple(labels)]
        kept = {}
        for member in members:
            if not member.task.heads:
                continue
            head = member.task.heads[-1]
            if task == self.kind and member.labels == before.get(member.name, ()):
                kept[member.named(head)] = member.named(head)
            elif alike == [member.name] or member.task.keeps_head:
                kept[member.named(head)] = head
        return kept

    def make_model(self, encoder: BertConfig, labels: Sequence[str], dtype: str = "float32") -> Any:
        """Return a `BertMultiTask`."""
        makers = {
            member.name: partial(member.task.make_model, encoder, member.labels, dtype)
            for member in self.members(labels)
        }
        return self.model_class().of(encoder, makers, dtype=dtype)

    def main_score(self, labels: Sequence[str]) -> str:
        """Return `mean_score`."""
        return "mean_score"


def _by_task(labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the labels of each task, from names such as `<task>/<label>`."""
    found: dict[str, tuple[str, ...]] = {}
    for label in labels:
        name, _, own = label.partition("/")
        found[name] = (*found.get(name, ()), own)
    return found
