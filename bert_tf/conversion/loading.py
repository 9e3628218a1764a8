"""The loading of published weights, or those of a run, into models.

The sources are a run's folder of this project, a folder of Hugging Face, a checkpoint of google-research/bert or of
TensorFlow's model garden, a KerasHub preset or `BertBackbone`, and the name of a model on a hub.
"""

import os
from collections.abc import Sequence
from typing import Any

from absl import logging

from bert_tf.conversion import google, hub, huggingface, keras_hub, runs
from bert_tf.conversion.heads import check_task
from bert_tf.conversion.pretrained import Pretrained
from bert_tf.conversion.weight_files import WEIGHT_FILES
from bert_tf.models.base import BertModel
from bert_tf.models.encoder import BertEncoder
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.tasks import MODEL_KINDS
from bert_tf.tasks.multi_task import MultiTask
from bert_tf.utils import files
from bert_tf.utils.hub import is_name

_HUBS = ("hf://", "kaggle://")  # no file system has these schemes


def read_pretrained(path: Any, task: str | None = None) -> Pretrained:
    """Read the configuration, weights and vocabulary of a BERT in any known format.

    Args:
        path: a folder (local or `gs://`); a prefix of a TensorFlow checkpoint; the name of a KerasHub preset, such as
            `bert_tiny_en_uncased`, or of a repository on the Hugging Face hub, such as `bert-base-uncased`; or a
            `keras_hub.models.BertBackbone`.
        task: the task of the model that is to be loaded, a key of `tasks.MODEL_KINDS`. It decides what a head is for
            where the source does not say; or the name of one task of a run of several, whose head is read with the
            encoder. None for the source's own task.

    Raises:
        FileNotFoundError: nothing has this name, here or on a hub (if it can be reached).
        ValueError: files are damaged or disagree, the model is not a BERT, there is no such task, or `task` is None and
            the source does not say what its head is for.
    """
    if isinstance(path, str | os.PathLike):
        path = os.fspath(path).rstrip("/")
        if not path.startswith(_HUBS) and runs.is_folder(path):
            return runs.read(path, task)
    if task is not None:
        check_task(task)
    if not isinstance(path, str):
        return keras_hub.read_backbone(path)
    if path.startswith("hf://"):
        return huggingface.read(hub.fetch(path.removeprefix("hf://")), task)
    if keras_hub.is_preset(path):
        return keras_hub.read(path)
    if huggingface.is_folder(path):
        return huggingface.read(path, task)
    if google.is_checkpoint(path):
        return google.read(path, task)
    if files.exists(path):
        raise FileNotFoundError(
            f"`path` must name a folder that holds a BERT: {huggingface.CONFIG_FILE} with checkpoints/ (a run) or with "
            f"one of {', '.join(WEIGHT_FILES)} (Hugging Face); {google.CONFIG_FILE}, NAME.ckpt.index and "
            f"NAME.ckpt.data-... (Google); or a KerasHub preset. Received: {path!r}"
        )
    if not is_name(path):
        raise FileNotFoundError(f"`path`: no such folder, and not the name of a model on a hub. Received: {path!r}")
    return huggingface.read(hub.fetch(path), task)


def model_of(pretrained: Pretrained, task: str, *, num_classes: int | None = None, dtype: str = "float32") -> BertModel:
    """Return the model for `task` with fresh weights, in the sizes of `pretrained`.

    Args:
        pretrained: the source of the configuration and, if `num_classes` is None, of the number of classes.
        task: a key of `tasks.MODEL_KINDS`.
        num_classes: C, for classifiers and taggers.
        dtype: Keras dtype policy.

    Raises:
        ValueError: there is no such task, or the number of classes is unknown or contradictory.
    """
    check_task(task)
    kind = MODEL_KINDS[task]
    if kind is MultiTask:
        raise ValueError(
            f"`task` must be the name of one of the tasks in {pretrained.source}, which holds several. Received: none"
        )
    options: dict[str, Any] = {"dtype": dtype}
    if kind.has_classes:
        bias = pretrained.weights.get(f"{kind.heads[-1]}/dense/bias")
        classes = num_classes if bias is None else len(bias)
        if classes is None:
            raise ValueError(f"`num_classes` must be given for a new head. Received: None, for {pretrained.source}")
        if num_classes not in (None, classes):
            raise ValueError(
                f"`num_classes` must be the {classes} classes of the head in {pretrained.source}. "
                f"Received: {num_classes}"
            )
        options["num_classes"] = classes
    if kind.has_pooling:
        options["pooling"] = pretrained.pooling
    if task == "retrieval" and pretrained.sentences is not None:
        options |= {"pooling": pretrained.sentences.pooling, "normalize": pretrained.sentences.normalize}
    return kind.model_class()(pretrained.config, **options)


def load_pretrained(
    path: Any,
    task: str | None = None,
    *,
    allow_random_heads: bool = False,
    num_classes: int | None = None,
    dtype: str = "float32",
) -> tuple[BertModel, Pretrained]:
    """Return a model with the weights of `path`, and the configuration, vocabulary and labels found there.

    >>> model, pretrained = load_pretrained("bert-base-uncased")  # doctest: +SKIP
    >>> print(pretrained.report)  # doctest: +SKIP
    >>> pretrained.tokenizer().encode("a text")  # doctest: +SKIP

    Args:
        path: the weights, as in `read_pretrained`.
        task: `encoder`, `pretraining`, `classification`, `multi_label`, `regression`, `tagging`, `question_answering`,
            `multiple_choice`, `retrieval` or `reranking`, which decides what a head is for where `path` does not say;
            or the name of one task of a run of several; None for the task whose heads `path` holds.
        allow_random_heads: whether a missing head may start from random numbers.
        num_classes: C, for a new classifier or tagger.
        dtype: Keras dtype policy; the variables stay float32.

    Returns:
        The model, and its `Pretrained`: configuration, `tokenizer()`, `labels` and `report`.

    Raises:
        FileNotFoundError: nothing has this name.
        ValueError: files are damaged, weights are missing, or the model is not a BERT.
    """
    pretrained = read_pretrained(path, task)
    task = task if task in MODEL_KINDS else pretrained.task
    pretrained.check_heads(task, allow_random_heads)
    model = model_of(pretrained, task, num_classes=num_classes, dtype=dtype)
    pretrained.assign_to(model, task, allow_random_heads)
    warn_of_surprises(pretrained)
    return model, pretrained


def warn_of_surprises(pretrained: Pretrained, random: bool = True) -> None:
    """Log a warning if a conversion has tensors without a counterpart or, unless `random` is False, random weights."""
    report = pretrained.report
    for kind, names in (("random", report.missing), ("without a counterpart here", report.unexpected)):
        if names and (random or names is report.unexpected):
            logging.warning("%s: %d tensors are %s: %s", report.source, len(names), kind, _some(names))


def _some(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def load_encoder(path: Any, allow_random_heads: bool = False, dtype: str = "float32") -> BertEncoder:
    """Return the encoder of a published BERT, or of a run of this project, with its pooler.

    >>> encoder = load_encoder("bert-base-uncased")  # doctest: +SKIP
    >>> outputs = encoder({"input_ids": ids, "input_mask": mask, "segment_ids": segments})  # doctest: +SKIP
    >>> outputs["sequence_output"], outputs["pooled_output"]  # doctest: +SKIP

    Args:
        path: a folder, checkpoint, preset or name, as in `read_pretrained`.
        allow_random_heads: whether a missing pooler may start from random numbers, since masked-LM models are
            published without one. `sequence_output` does not depend on it.
        dtype: Keras dtype policy.

    Raises:
        FileNotFoundError: nothing has this name.
        ValueError: files are damaged, weights are missing, or the model is not a BERT.
    """
    model, _ = load_pretrained(path, "encoder", allow_random_heads=allow_random_heads, dtype=dtype)
    assert isinstance(model, BertEncoder)
    return model


def load_pretrainer(path: Any, allow_random_heads: bool = False, dtype: str = "float32") -> BertPretrainer:
    """Return a published BERT, or a run of this project, with its masked-LM and next-sentence heads.

    Args:
        path: a folder, checkpoint, preset or name, as in `read_pretrained`.
        allow_random_heads: whether missing heads may start from random numbers.
        dtype: Keras dtype policy.

    Raises:
        FileNotFoundError: nothing has this name.
        ValueError: files are damaged, weights are missing, or the model is not a BERT.
    """
    model, _ = load_pretrained(path, "pretraining", allow_random_heads=allow_random_heads, dtype=dtype)
    assert isinstance(model, BertPretrainer)
    return model
