"""The fine-tuning tasks by kind."""

from typing import Any

from bert_tf.tasks.base import Task
from bert_tf.tasks.question_answering import QuestionAnswering
from bert_tf.tasks.retrieval import Retrieval
from bert_tf.tasks.tagging import Tagging
from bert_tf.tasks.texts import Classification, MultiLabel, Regression

__all__ = ["TASKS", "Task", "task_of"]

TASKS: dict[str, type[Task]] = {
    "classification": Classification,
    "multi_label": MultiLabel,
    "regression": Regression,
    "tagging": Tagging,
    "question_answering": QuestionAnswering,
    "retrieval": Retrieval,
}
"""`kind` of a task's configuration -> its class."""


def task_of(config: Any) -> Task:
    """The task that a configuration (`bert_tf.configs.tasks`) is for."""
    return TASKS[config.kind](config)
