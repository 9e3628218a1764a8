"""What a fine-tuning task is: how its examples become rows, what is trained on them, how outputs become answers."""

import abc
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import keras

from bert_tf.configs import BertConfig
from bert_tf.objectives.objective import Objective
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tasks.model_kinds import ModelKind
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

Example = TypeVar("Example")


class Task(ModelKind, abc.ABC, Generic[Example]):
    """One kind of fine-tuning.

    Args:
        config: of the task's kind.
    """

    def __init__(self, config: Any) -> None:
        self.config = config

    @abc.abstractmethod
    def label_names(self, examples: Sequence[Example]) -> tuple[str, ...]:
        """The labels of the training examples, sorted: label id i is the i-th; () for a task without classes.

        Raises:
            ValueError: they are too few to learn anything from.
        """

    @abc.abstractmethod
    def encode(
        self, examples: Sequence[Example], labels: Sequence[str], tokenizer: WordPieceTokenizer, training: bool = False
    ) -> EncodedExamples:
        """EncodedExamples of tokens, with what is to be learnt where the examples have it.

        Args:
            examples: labelled or not.
            labels: of `label_names`.
            tokenizer: of the model's vocabulary.
            training: whether to give rows the weights that training wants (class weights).

        Raises:
            ValueError: a label is not in `labels`; the message names file and line.
        """

    @abc.abstractmethod
    def make_model(self, encoder: BertConfig, labels: Sequence[str], dtype: str = "float32") -> keras.Model:
        """The model, with fresh weights."""

    @abc.abstractmethod
    def objective(self, training: bool) -> Objective:
        """Losses, and metrics that are sums; for training, or for evaluation (no label smoothing)."""

    @abc.abstractmethod
    def answers(
        self, examples: Sequence[Example], rows: EncodedExamples, outputs: Sequence[Any], labels: Sequence[str]
    ) -> list[dict[str, Any]]:
        """One answer an example, in their order: what JSON can hold.

        Args:
            examples: N.
            rows: `encode`'s of them.
            outputs: the model's outputs for each row, NumPy arrays (or a dictionary of them) without the batch's axis.
            labels: of `label_names`.
        """

    @abc.abstractmethod
    def scores(
        self, examples: Sequence[Example], answers: Sequence[dict[str, Any]], labels: Sequence[str]
    ) -> dict[str, Any]:
        """The field's metrics of `answers` to labelled examples: numbers by name, and details such as tables."""

    @abc.abstractmethod
    def main_score(self, labels: Sequence[str]) -> str:
        """The name of the score that early stopping goes by, where the configuration names none."""
