"""The base class of fine-tuning tasks, which encode examples, define a model and its objective, and make answers."""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np

from bert_tf.configs import BertConfig
from bert_tf.configs.tasks import TaskConfig
from bert_tf.examples import Examples
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tasks.model_kinds import ModelKind
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

if TYPE_CHECKING:
    import keras

    from bert_tf.objectives.distillation import Imitation
    from bert_tf.objectives.objective import Objective

Example = TypeVar("Example")


class Trainable(ModelKind):
    """The purpose of a fine-tuning: one task, or several that share the model's encoder."""

    @abc.abstractmethod
    def labels_of_parts(self, train: Examples, *others: Examples) -> tuple[str, ...]:
        """Return the labels of all parts of a data set (`Task.label_names_of_parts`), as descriptions hold them."""

    @abc.abstractmethod
    def members(self, labels: Sequence[str]) -> "tuple[Member, ...]":
        """Return the tasks, given their labels as `labels_of_parts` returns them."""

    @abc.abstractmethod
    def shares(self, sizes: Sequence[int], progress: np.ndarray) -> np.ndarray:
        """Return the probabilities with which a batch is of each of the M members, float64 [S, M].

        Args:
            sizes: the number of training rows of each member.
            progress: the share of the training that is done before the batch, float [S].
        """

    @abc.abstractmethod
    def joined_scores(self, scores: "Mapping[Member, dict[str, Any]]") -> dict[str, Any]:
        """Return the scores of all members by name, and those that are made of them."""

    @abc.abstractmethod
    def kept_heads(self, task: str, labels: Sequence[str], *, own: Sequence[str]) -> dict[str, str]:
        """Return the heads that go on with those of a checkpoint, if it has them.

        Args:
            task: the task of the checkpoint, a key of `tasks.MODEL_KINDS`.
            labels: the labels of the checkpoint.
            own: the labels of this training.

        Returns:
            For the start of the names of a head's weights, the start of their names in the checkpoint.
        """

    @abc.abstractmethod
    def make_model(self, encoder: BertConfig, labels: Sequence[str], dtype: str = "float32") -> "keras.Model":
        """Return the model, with fresh weights."""

    @abc.abstractmethod
    def main_score(self, labels: Sequence[str]) -> str:
        """Return the name of the score that decides early stopping if the configuration names none."""


class Task(Trainable, Generic[Example]):
    """A fine-tuning task.

    Args:
        config: the settings of the task (`configs.tasks`).

    Attributes:
        config_class: the class of these settings.
        example_class: the class of its examples.
        target: the feature of a batch that a loss of Keras compares with the output; for several outputs, their
            features by name. None for a task whose loss compares the rows of a batch.
        target_weights: the feature of a batch that weights its rows or tokens in the loss.
        joins_texts: whether a row of training holds several texts, which the loss compares, and one of evaluation one.
        joining_inputs: the inputs that the model reads beside the encoder's where a row holds several texts.
    """

    config_class: ClassVar[type[TaskConfig]]
    example_class: ClassVar[type] = object
    target: ClassVar[str | Mapping[str, str] | None] = None
    target_weights: ClassVar[str] = ""
    joins_texts: ClassVar[bool] = False
    joining_inputs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: Any) -> None:
        self.config = config

    @classmethod
    def published_config(cls, max_seq_length: int, pooling: str) -> Any:
        """Return the settings of a published model, which comes without settings of its task.

        Args:
            max_seq_length: the largest number of tokens in a row.
            pooling: the pooling of the model, for tasks with `has_pooling`.
        """
        options: dict[str, Any] = {"pooling": pooling} if cls.has_pooling else {}
        return cls.config_class(max_seq_length=max_seq_length, **options)

    def labels_of_parts(self, train: Examples, *others: Examples) -> tuple[str, ...]:
        """Return the labels of all parts, in the order of their ids."""
        return self.label_names_of_parts(train.examples, *(part.examples for part in others))

    def members(self, labels: Sequence[str]) -> "tuple[Member, ...]":
        """Return this task alone, which needs no name."""
        return (Member(self, tuple(labels)),)

    def shares(self, sizes: Sequence[int], progress: np.ndarray) -> np.ndarray:
        """Return 1 for each batch."""
        return np.ones((len(progress), 1))

    def joined_scores(self, scores: "Mapping[Member, dict[str, Any]]") -> dict[str, Any]:
        """Return the scores of the task."""
        return next(iter(scores.values()))

    def kept_heads(self, task: str, labels: Sequence[str], *, own: Sequence[str]) -> dict[str, str]:
        """Return the heads of a task that goes on with a head of pre-training; all others start anew."""
        return {head: head for head in self.heads} if self.keeps_head else {}

    @abc.abstractmethod
    def label_names(self, examples: Sequence[Example]) -> tuple[str, ...]:
        """Return the labels that the configuration lists, or else those that occur in the examples.

        Label id i is the i-th. A task without classes returns none.

        Raises:
            ValueError: too few occur to learn anything from.
        """

    def occurring_labels(self, examples: Sequence[Example]) -> set[str]:
        """Return the labels that occur in the examples; none for a task without classes."""
        return set()

    def label_names_of_parts(self, train: Sequence[Example], *others: Sequence[Example]) -> tuple[str, ...]:
        """Return the labels of all parts of a data set, so that one may occur in a part that is not for training.

        Args:
            train: the examples to learn, from which alone it is judged whether anything can be learnt.
            *others: the examples of the other parts.

        Raises:
            ValueError: too few labels occur in `train` to learn anything from.
        """
        self.label_names(train)
        return self.label_names([*train, *(example for examples in others for example in examples)])

    def describe_labels(self, labels: Sequence[str], examples: Sequence[Example]) -> str:
        """Return a line that says how the task understands its labels; nothing if there is nothing to say.

        Args:
            labels: the labels, as `label_names` returns them.
            examples: examples of these labels.
        """
        return ""

    def label_warnings(self, labels: Sequence[str], examples: Sequence[Example] = ()) -> list[str]:
        """Return warnings of labels that the task may understand otherwise than they are meant.

        Args:
            labels: the labels, as `label_names` returns them.
            examples: examples of these labels, if there are any.
        """
        return []

    def examples_of(
        self, x: Any, y: Any = None, *, labels: Sequence[str], tokenizer: WordPieceTokenizer
    ) -> list[Example]:
        """Return the examples of inputs and targets as people hold them (`tasks.natural_inputs`).

        A task that does not say how takes examples alone.

        Args:
            x: the inputs, or examples.
            y: the targets; None for examples that have theirs, and for inputs without.
            labels: the labels, as `label_names` returns them.
            tokenizer: the tokenizer, by which a tagger splits texts into words.

        Raises:
            ValueError: an item has another form, or the numbers of inputs and targets differ.
        """
        if (
            y is not None
            or not isinstance(x, list | tuple)
            or not all(isinstance(one, self.example_class) for one in x)
        ):
            raise ValueError(
                f"`x` must be a list of `{self.example_class.__name__}`, which hold their targets, for a model for "
                f"{self.kind}. Received: {x!r:.100}"
            )
        return list(x)

    @abc.abstractmethod
    def encode(
        self,
        examples: Sequence[Example],
        labels: Sequence[str],
        tokenizer: WordPieceTokenizer,
        *,
        training: bool = False,
    ) -> EncodedExamples:
        """Encode the examples, with their labels if they have any.

        Args:
            examples: the examples, labelled or not.
            labels: the labels, as `label_names` returns them.
            tokenizer: the tokenizer of the model's vocabulary.
            training: whether rows get the weights of training (class weights).

        Raises:
            ValueError: a label is not in `labels`. The message names file and line.
        """

    @abc.abstractmethod
    def objective(self, training: bool) -> "Objective":
        """Return the objective for training, or for evaluation, which has no label smoothing."""

    def imitation(self) -> "Imitation | None":
        """Return how a student's outputs are compared with its teacher's; None for a task whose outputs are not."""
        return None

    @abc.abstractmethod
    def answers(
        self, examples: Sequence[Example], rows: EncodedExamples, outputs: Sequence[Any], *, labels: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Return an answer for each example, in their order, as values of JSON.

        Args:
            examples: N examples.
            rows: the encoded examples.
            outputs: the model's outputs for each row, as NumPy arrays (or a dictionary of these) without the batch
                axis.
            labels: the labels, as `label_names` returns them.
        """

    @abc.abstractmethod
    def scores(
        self, examples: Sequence[Example], answers: Sequence[dict[str, Any]], labels: Sequence[str]
    ) -> dict[str, Any]:
        """Return the task's metrics of `answers` to labelled examples: numbers by name, and details such as tables."""


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
    """A task among those that a model is trained for, and its part of what belongs to all of them.

    Attributes:
        task: the task.
        labels: its labels, as `Task.label_names` returns them.
        name: its name; "" for the only task of a model.
        loss_weight: factor of its loss.
    """

    task: Task
    labels: tuple[str, ...]
    name: str = ""
    loss_weight: float = 1.0

    def named(self, score: str) -> str:
        """Return the name of one of the task's scores, losses or weights among those of all tasks."""
        return f"{self.name}/{score}" if self.name else score

    def model_in(self, model: Any) -> Any:
        """Return the model for this task alone, which shares its weights with the whole model."""
        return model.members[self.name] if self.name else model

    def among_others(self, objective: "Objective") -> "Objective":
        """Return an objective of the task as a part of that of all tasks: named, and with the weight of its losses."""
        from bert_tf.objectives.objective import of_member

        return of_member(objective, self.name, self.loss_weight) if self.name else objective


def member_named(trainable: Trainable, labels: Sequence[str], name: str) -> Member:
    """Return one of several tasks by its name.

    Args:
        trainable: the tasks.
        labels: their labels.
        name: the name, which messages call `task`.

    Raises:
        ValueError: there is no such task.
    """
    members = {member.name: member for member in trainable.members(labels)}
    if name not in members:
        raise ValueError(f"`task` must be one of {', '.join(members)}, the tasks of the model. Received: {name!r}")
    return members[name]
