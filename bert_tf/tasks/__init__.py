"""The fine-tuning tasks, and all kinds of models, by name."""

from bert_tf.configs.multi_task import MultiTaskConfig
from bert_tf.configs.tasks import AnyTaskConfig
from bert_tf.tasks.base import Task, Trainable
from bert_tf.tasks.model_kinds import Encoder, ModelKind, Pretraining
from bert_tf.tasks.multi_task import MultiTask
from bert_tf.tasks.multiple_choice import MultipleChoice
from bert_tf.tasks.question_answering import QuestionAnswering
from bert_tf.tasks.reranking import Reranking
from bert_tf.tasks.retrieval import Retrieval
from bert_tf.tasks.seq2seq import Seq2Seq
from bert_tf.tasks.tagging import Tagging
from bert_tf.tasks.texts import Classification, MultiLabel, Regression

__all__ = ["MODEL_KINDS", "TASKS", "Task", "Trainable", "only_task_of", "task_of", "trainable_of"]

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

MODEL_KINDS: dict[str, type[ModelKind]] = {
    Encoder.kind: Encoder,
    Pretraining.kind: Pretraining,
    **TASKS,
    MultiTask.kind: MultiTask,
}
"""Every kind of model by name: the encoder, pre-training, the fine-tuning tasks, and several of these together."""


def task_of(config: AnyTaskConfig) -> Task:
    """Return the task that a configuration (`bert_tf.configs.tasks`) is for."""
    return TASKS[config.kind](config)


def only_task_of(config: AnyTaskConfig | MultiTaskConfig | None) -> Task | None:
    """Return the task that a configuration is for; None for several tasks, or none."""
    return None if config is None or isinstance(config, MultiTaskConfig) else task_of(config)


def trainable_of(config: AnyTaskConfig | MultiTaskConfig) -> Trainable:
    """Return the task that a configuration is for, or the tasks."""
    if isinstance(config, MultiTaskConfig):
        return MultiTask(config, {name: task_of(settings) for name, settings in config.by_name().items()})
    return task_of(config)
