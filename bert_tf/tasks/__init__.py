"""The fine-tuning tasks, and all kinds of models, by name."""

from bert_tf.configs.tasks import AnyTaskConfig
from bert_tf.tasks.base import Task
from bert_tf.tasks.model_kinds import Encoder, ModelKind, Pretraining
from bert_tf.tasks.multiple_choice import MultipleChoice
from bert_tf.tasks.question_answering import QuestionAnswering
from bert_tf.tasks.reranking import Reranking
from bert_tf.tasks.retrieval import Retrieval
from bert_tf.tasks.seq2seq import Seq2Seq
from bert_tf.tasks.tagging import Tagging
from bert_tf.tasks.texts import Classification, MultiLabel, Regression

__all__ = ["MODEL_KINDS", "TASKS", "Task", "task_of"]

TASKS: dict[str, type[Task]] = {
    task.kind: task
    for task in (
        Classification,
        MultiLabel,
        Regression,
        Tagging,
        QuestionAnswering,
        MultipleChoice,
        Retrieval,
        Reranking,
        Seq2Seq,
    )
}
"""The fine-tuning tasks by the `kind` of their configuration."""

MODEL_KINDS: dict[str, type[ModelKind]] = {Encoder.kind: Encoder, Pretraining.kind: Pretraining, **TASKS}
"""Every kind of model by name: the encoder, pre-training, and the fine-tuning tasks."""


def task_of(config: AnyTaskConfig) -> Task:
    """Return the task that a configuration (`bert_tf.configs.tasks`) is for."""
    return TASKS[config.kind](config)
