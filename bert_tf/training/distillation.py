"""Distillation: the training of a student beside a teacher, in fine-tuning and in pre-training.

The teacher's outputs for the examples of a fine-tuning are computed once and kept (`training.teacher_outputs`). Layers
and relations are hundreds of numbers a token, and the masks of a pre-training are new in each epoch: these are computed
in the step, without gradients (`models.student_and_teacher`).
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from bert_tf.configs import BertConfig
from bert_tf.configs.distillation import DistillConfig
from bert_tf.conversion.chosen_layers import with_layers
from bert_tf.conversion.loading import model_of, read_pretrained
from bert_tf.conversion.pretrained import Pretrained
from bert_tf.models.student_and_teacher import StudentAndTeacher
from bert_tf.objectives.distillation import (
    Imitation,
    Term,
    distilled,
    layer_term,
    masked_lm_term,
    output_term,
    relation_term,
)
from bert_tf.objectives.objective import Objective
from bert_tf.tasks import MODEL_KINDS, Task
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tasks.model_kinds import Encoder, Pretraining
from bert_tf.tokenization.same_vocabulary import check_same_vocabulary
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.training.engine import Engine
from bert_tf.training.teacher_outputs import teacher_outputs
from bert_tf.utils.arguments import renamed

_OUTPUTS_FOLDER = "teacher_outputs"


def read_teacher(config: DistillConfig, kind: str) -> Pretrained | None:
    """Return the teacher; None for a training from labels alone.

    Args:
        config: the settings.
        kind: the task of the student, a key of `tasks.MODEL_KINDS`. A teacher whose outputs are learnt has it too.

    Raises:
        FileNotFoundError: nothing has the teacher's name.
        ValueError: settings are given without a teacher, or its outputs are for another task.
    """
    if config.teacher is None:
        if config != DistillConfig():
            raise ValueError("`distill.teacher` must be given with the other settings of `distill`. Received: None")
        return None
    learns_outputs = bool(config.logit_weight)
    with renamed(path="distill.teacher"):
        teacher = read_pretrained(config.teacher, kind if learns_outputs else None)
    if not learns_outputs:
        return teacher
    heads = ("masked_lm",) if kind == Pretraining.kind else MODEL_KINDS[kind].heads
    missing = [head for head in heads if not any(name.startswith(f"{head}/") for name in teacher.weights)]
    if missing or (teacher.task != kind and kind != Pretraining.kind):
        without = f", without weights for {', '.join(missing)}" if missing else ""
        raise ValueError(
            f"`distill.teacher` must be a model for {kind}, whose outputs the student learns. Set "
            "`distill.logit_weight` to 0 and `distill.hidden_weight` or `distill.relation_weight` above it to learn "
            f"from the layers of any model. Received: {config.teacher!r}, for {teacher.task}{without}"
        )
    return teacher


def check_teacher_of(task: Task, teacher: Pretrained, config: DistillConfig, labels: Sequence[str]) -> None:
    """Check that a teacher's outputs are those that the student of a task learns.

    Raises:
        ValueError: the task's outputs are not compared, or the teacher has other labels.
    """
    if not config.logit_weight:
        return
    if task.imitation() is None:
        raise ValueError(
            "`distill.logit_weight` must be 0 for a task without classes or numbers to compare. "
            f"Received: {config.logit_weight:g} for {task.kind}"
        )
    if task.has_classes and sorted(teacher.labels) != sorted(labels):
        raise ValueError(
            f"`distill.teacher` must have the labels of the examples, {', '.join(labels)}. "
            f"Received: {config.teacher!r}, with {', '.join(teacher.labels)}"
        )


def student_start(
    teacher: Pretrained, config: DistillConfig, model: BertConfig
) -> tuple[Pretrained | None, WordPieceTokenizer, BertConfig]:
    """Return what a student without weights of its own starts from: weights, the teacher's tokenizer, and its sizes.

    Args:
        teacher: the teacher.
        config: the settings. Without `init_layers`, the weights are None, for random ones.
        model: the sizes of a student that starts from random weights, but for the teacher's number of tokens.

    Raises:
        ValueError: `init_layers` are not the teacher's.
    """
    if not config.init_layers:
        return None, teacher.tokenizer(), model.replace(vocab_size=teacher.config.vocab_size)
    with renamed(layers="distill.init_layers"):
        start = with_layers(teacher, config.init_layers)
    return start, teacher.tokenizer(), start.config


def check_one_start(config: DistillConfig, **others: Any) -> None:
    """Check that a student that starts from layers of its teacher has nothing else to start from.

    Args:
        config: the settings.
        **others: what else it might start from, by the names of arguments; None for what is not given.

    Raises:
        ValueError: it has.
    """
    given = {name: value for name, value in others.items() if value is not None}
    if config.init_layers and given:
        raise ValueError(
            f"`distill.init_layers` must be empty with `{'` and `'.join(given)}`: a student starts from one of them. "
            f"Received: {', '.join(map(str, config.init_layers))}"
        )


def kept_heads(task: Task, teacher: Pretrained | None, config: DistillConfig, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the heads that a student keeps from a teacher of its task and labels, if it starts from its layers."""
    if teacher is None or not config.init_layers or (teacher.task, tuple(teacher.labels)) != (task.kind, tuple(labels)):
        return ()
    return tuple(task.heads)


class Distillation:
    """The parts of a training that a teacher changes. Without a teacher, nothing is changed.

    Args:
        config: the settings.
        teacher: the teacher; None for none.
        student: the sizes of the student.
        tokenizer: the student's tokenizer, which must be the teacher's.
        row_length: the number of tokens in the longest row.
        num_segments: the number of texts in a row.

    Raises:
        ValueError: the teacher has another vocabulary, is too small for the rows, or its layers or widths do not suit
            the settings.
    """

    def __init__(
        self,
        config: DistillConfig,
        teacher: Pretrained | None,
        *,
        student: BertConfig,
        tokenizer: WordPieceTokenizer,
        row_length: int,
        num_segments: int = 1,
    ) -> None:
        self.config = config
        self.teacher = teacher
        self._layers: tuple[int, ...] = ()
        self._relation_layer: int | None = None
        self._relation_heads = 1
        if teacher is None:
            return
        check_same_vocabulary(
            "distill.teacher", str(config.teacher), teacher.tokenizer(), expected=tokenizer, owner="the student"
        )
        fields = ("vocab_size", "max_position_embeddings", "type_vocab_size")
        with renamed(**{f"model.{field}": f"distill.teacher's {field}" for field in fields}):
            teacher.config.check_fits(tokenizer.vocab_size, row_length, num_segments=num_segments)
        if config.hidden_weight:
            self._layers = mapped_layers(config.hidden_layers, student.num_layers, teacher.config.num_layers)
        if config.relation_weight:
            self._relation_layer = _relation_layer(config, teacher.config)
            self._relation_heads = _relation_heads(config, student, teacher.config)

    @property
    def source(self) -> dict[str, Any]:
        """The teacher's name, for the description of the run's data; empty without one."""
        return {} if self.teacher is None else {"teacher": self.config.teacher}

    def check_masked_lm(self, student: BertConfig) -> None:
        """Check that a pre-trained student's logits can be compared with the teacher's.

        Raises:
            ValueError: they have another number of tokens.
        """
        if self.teacher is None or not self.config.logit_weight:
            return
        if student.vocab_size != self.teacher.config.vocab_size:
            raise ValueError(
                f"`model.vocab_size` must be the teacher's {self.teacher.config.vocab_size} rows of embeddings, whose "
                f"logits the student learns. Received: {student.vocab_size}"
            )

    def with_outputs(
        self, rows: EncodedExamples, labels: Sequence[str], *, folder: str, engine: Engine, batch_size: int
    ) -> EncodedExamples:
        """Return a fine-tuning's rows with the teacher's outputs (`teacher_outputs`) and a weight of 1 for each row.

        Args:
            rows: the encoded training examples.
            labels: the student's labels.
            folder: the folder for `teacher_outputs`, unless the settings name one.
            engine: the devices and processes.
            batch_size: the number of rows computed at a time.

        Raises:
            OSError: the outputs cannot be kept.
        """
        if self.teacher is None:
            return rows
        examples: dict[str, np.ndarray] = {"teacher_weights": np.ones(len(rows), np.float32)}
        tokens: dict[str, np.ndarray] = {}
        if self.config.logit_weight:
            folder = self.config.outputs_dir or os.path.join(folder, _OUTPUTS_FOLDER)
            outputs = teacher_outputs(
                self.teacher, rows, labels=labels, folder=folder, engine=engine, batch_size=batch_size
            )
            (tokens if _has_tokens(self.teacher) else examples).update(outputs)
        return dataclasses.replace(
            rows,
            token_features=rows.token_features | tokens,
            example_features=rows.example_features | examples,
        )

    def model_maker(self, make_student: Callable[[], Any], dtype: str, kind: str) -> Callable[[], keras.Model]:
        """Return a function that makes the model to train: the student, beside the teacher if a step needs it.

        Args:
            make_student: a function that makes the student.
            dtype: the Keras dtype policy of the teacher.
            kind: the kind of the student, a key of `tasks.MODEL_KINDS`.
        """
        teacher, config = self.teacher, self.config
        gives_outputs = kind == Pretraining.kind and bool(config.logit_weight)
        if teacher is None or not (config.compares_layers or gives_outputs):
            return make_student
        own_kind = Pretraining.kind if gives_outputs else Encoder.kind

        def make_model() -> keras.Model:
            model = model_of(teacher, own_kind, dtype=dtype)
            # The pooler and the next-sentence head have no part in what is compared.
            teacher.assign_to(model, own_kind, allow_random_heads=True)
            return StudentAndTeacher(make_student(), model, layers=self._layers, relation_layer=self._relation_layer)

        return make_model

    def objective(self, objective: Objective, imitation: Imitation | None = None, weights: str = "") -> Objective:
        """Return the objective of the student.

        Args:
            objective: the objective of the labels.
            imitation: how the outputs of a fine-tuning's task are compared; None for a pre-training.
            weights: the feature of the batch that weights the labels of that task.
        """
        if self.teacher is None:
            return objective
        config = self.config
        terms: list[Term] = []
        if config.logit_weight:
            terms.append(
                masked_lm_term(config.logit_weight, temperature=config.logit_temperature)
                if imitation is None
                else output_term(config.logit_weight, imitation, weights, temperature=config.logit_temperature)
            )
        if config.hidden_weight:
            terms.append(layer_term(config.hidden_weight))
        if config.relation_weight:
            terms.append(relation_term(config.relation_weight, self._relation_heads))
        return distilled(objective, config.label_weight, terms)


def student_of(model: Any) -> Any:
    """Return the student of a model that `Distillation.model_maker` has made."""
    return model.student if isinstance(model, StudentAndTeacher) else model


def mapped_layers(given: Sequence[int], student: int, teacher: int) -> tuple[int, ...]:
    """Return the teacher's layer for the student's embeddings and each of its layers.

    >>> mapped_layers((), 2, 6)
    (0, 3, 6)

    Args:
        given: `distill.hidden_layers`; () spreads the teacher's layers evenly.
        student: the number of the student's layers.
        teacher: the number of the teacher's layers.

    Raises:
        ValueError: the numbers do not fit.
    """
    if not given:
        return tuple(round(number * teacher / student) for number in range(student + 1))
    if len(given) != student + 1 or max(given) > teacher:
        raise ValueError(
            f"`distill.hidden_layers` must be {student + 1} numbers from 0 to {teacher}: a layer of the teacher for "
            f"the embeddings and each of the {student} layers of the student. Received: {', '.join(map(str, given))}"
        )
    return tuple(given)


def _relation_layer(config: DistillConfig, teacher: BertConfig) -> int:
    layer = config.relation_layer or teacher.num_layers
    if layer > teacher.num_layers:
        raise ValueError(
            f"`distill.relation_layer` must be at most the teacher's {teacher.num_layers} layers. Received: {layer}"
        )
    return layer


def _relation_heads(config: DistillConfig, student: BertConfig, teacher: BertConfig) -> int:
    heads = config.relation_heads or teacher.num_heads
    if student.hidden_size % heads or teacher.hidden_size % heads:
        raise ValueError(
            "`distill.relation_heads`, by default the teacher's number of heads, must divide the widths of student and "
            f"teacher. Received: {heads} for {student.hidden_size} and {teacher.hidden_size}"
        )
    return heads


def _has_tokens(teacher: Pretrained) -> bool:
    return bool(MODEL_KINDS[teacher.task].token_outputs)
