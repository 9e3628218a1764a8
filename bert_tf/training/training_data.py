"""The encoded training examples of a fine-tuning, in batches by step."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from bert_tf.configs import TrainConfig
from bert_tf.examples import Examples
from bert_tf.objectives.objective import Objective
from bert_tf.tasks import Trainable
from bert_tf.tasks.base import Member
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.training.batch_shards import BatchShard
from bert_tf.training.encoded_batches import rows_of_batch, training_dataset
from bert_tf.training.engine import Dataset
from bert_tf.training.turns import Part, Turns, drawn


@dataclasses.dataclass(frozen=True)
class RowsOfTask:
    """The encoded training examples of a task, in batches by the task's own steps."""

    rows: EncodedExamples
    train: TrainConfig
    path: str

    def batches_from(self, step: int, shard: BatchShard) -> Dataset:
        """Return a shard of the endless batches from a step on."""
        return training_dataset(self.rows, self.train.batch_size, seed=self.train.seed, start_step=step, shard=shard)

    def describe_batch(self, step: int) -> str:
        """Return a text that names the examples in the batch of a step."""
        numbers = rows_of_batch(self.rows, self.train.batch_size, seed=self.train.seed, step=step)
        sources = [self.rows.sources[number] for number in numbers]
        if all(isinstance(source, int) for source in sources):  # one number for all windows of a text
            return f"rows {', '.join(map(str, sorted(set(sources))))} of {self.path}, counted from 0"
        return f"encoded rows {', '.join(map(str, sorted(numbers)))} of {self.path}, counted from 0"


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """The encoded training examples of all tasks, and the task of each step."""

    by_member: Sequence[RowsOfTask]
    turns: Turns

    @classmethod
    def of(
        cls,
        trainable: Trainable,
        members: Sequence[Member],
        objectives: Sequence[Objective],
        rows: Sequence[EncodedExamples],
        examples: Examples,
        train: TrainConfig,
        make_rows: Callable[[EncodedExamples, TrainConfig, str], RowsOfTask] = RowsOfTask,
    ) -> "TrainingData":
        """Return the data of a training.

        Args:
            trainable: the task or tasks.
            members: each task, with its labels.
            objectives: the objective of each task.
            rows: the encoded examples of each task.
            examples: the examples, whose paths messages name.
            train: the number of steps, their batch size and seed.
            make_rows: makes the batches of a task.
        """
        by_member = [
            make_rows(of_member, train, examples.of_task(member.name).path)
            for member, of_member in zip(members, rows, strict=True)
        ]
        parts = [
            Part(member.among_others(objective), data.batches_from, member.model_in)
            for member, objective, data in zip(members, objectives, by_member, strict=True)
        ]
        progress = np.arange(train.num_steps) / max(1, train.num_steps - 1)
        return cls(by_member, Turns(parts, drawn(trainable.shares([len(each) for each in rows], progress), train.seed)))

    def describe_batch(self, step: int) -> str:
        """Return a text that names the examples in the batch of a step."""
        [(part, _)] = self.turns.runs(step, 1)
        return self.by_member[part].describe_batch(self.turns.steps_before(step)[part])
