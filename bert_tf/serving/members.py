"""The choice of one task of a model for several (`tasks.multi_task`)."""

from typing import Any

from bert_tf.conversion.heads import check_same_task
from bert_tf.runs.descriptions import EmbeddingSettings, ModelDescription
from bert_tf.tasks import trainable_of
from bert_tf.tasks.base import Member, member_named
from bert_tf.tasks.model_kinds import Encoder
from bert_tf.tasks.multi_task import MultiTask
from bert_tf.tasks.retrieval import Retrieval


def members_of(description: ModelDescription) -> tuple[Member, ...]:
    """Return the tasks of a model for several, in their order; none for any other model."""
    if description.task != MultiTask.kind or description.task_config is None:
        return ()
    return trainable_of(description.task_config).members(description.labels)


def chosen_task(description: ModelDescription, task: str | None, path: str) -> Member | None:
    """Return the task that a caller has chosen by its name; None for the whole model.

    Args:
        description: the description of the model.
        task: for a model for several tasks the name of one, or None for all of them; for any other model its own kind,
            or None.
        path: where the model was found, for the message.

    Raises:
        ValueError: the model is for another task.
    """
    if not members_of(description):
        check_same_task(task, description.task, path)
        return None
    if task in (None, MultiTask.kind):
        return None
    assert description.task_config is not None
    return member_named(trainable_of(description.task_config), description.labels, str(task))


def served_member(model: Any, description: ModelDescription, member: Member) -> tuple[Any, ModelDescription]:
    """Return one task's model as it is served alone, with its description: a retrieval model is an encoder of texts.

    Args:
        model: the model for several tasks, of Keras or of an export.
        description: its description.
        member: the task.
    """
    own, alone = description.of_task(member), member.model_in(model)
    if own.task != Retrieval.kind:
        return alone, own
    embedding = embedding_settings(member.task.config.pooling, member.task.config.normalize)
    encoder = getattr(alone, "encoder", alone)  # an export holds the encoder itself
    return encoder, own.replace(task=Encoder.kind, task_config=None, embedding=embedding, has_pooler=False)


def embedding_settings(pooling: str, normalize: bool) -> EmbeddingSettings:
    """Return the settings of a model that was trained to embed. Its vectors are compared as the model returns them."""
    return EmbeddingSettings(pooling, normalize, "cosine" if normalize else "dot")
