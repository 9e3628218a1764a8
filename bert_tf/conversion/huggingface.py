"""Folders of Hugging Face: `config.json`, a file of weights (`conversion.weight_files`), and files of the tokenizer.

Names and shapes are those of `transformers`' `BertModel`, `BertForPreTraining` and the other `BertFor...` classes, or
of their TensorFlow counterparts, such as `TFBertModel`.
"""

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy

from bert_tf.configs.published import hugging_face_values, read_config
from bert_tf.conversion import cross_encoders, folders, sentence_transformers
from bert_tf.conversion.heads import Statement, class_labels, heads_and_task, made_up_labels, warn_of_architectures
from bert_tf.conversion.hub_card import CARD_FILE, ModelCard
from bert_tf.conversion.names import head_names
from bert_tf.conversion.pretrained import Pretrained, assemble, disassemble
from bert_tf.conversion.report import ConversionReport
from bert_tf.conversion.tensorflow_names import are_tensorflow_names, pytorch_name
from bert_tf.conversion.weight_files import WEIGHT_FILES, read_weights
from bert_tf.tasks import MODEL_KINDS, TASKS
from bert_tf.tasks.reranking import Reranking
from bert_tf.tokenization.published import read_tokenizer, tokenizer_settings
from bert_tf.tokenization.published_writer import write_tokenizer
from bert_tf.utils import files

CONFIG_FILE = "config.json"
_DECODER = "cls.predictions.decoder"
_WRAPPERS = re.compile(r"^((module|model|_orig_mod)\.)+")
"""The prefixes that wrappers of PyTorch add to names: data parallelism, modules of trainers, `torch.compile`."""

_OTHER_ARCHITECTURES = ("BertLMHeadModel",)
"""The classes of `transformers` on BERT whose weights other classes load (as a masked LM)."""


def is_folder(path: str) -> bool:
    """Return whether `path` looks like a folder of Hugging Face."""
    return folders.has(path, CONFIG_FILE) and any(folders.has(path, name) for name in WEIGHT_FILES)


def read(path: str, wanted: str | None = None) -> Pretrained:
    """Read the configuration, weights, vocabulary and labels of a folder.

    Args:
        path: the folder.
        wanted: the task of the model that is to be loaded, as in `loading.read_pretrained`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, the model is not a BERT, or the folder does not say what its head is for.
    """
    config_file = os.path.join(path, CONFIG_FILE)
    values = files.read_json(config_file)
    config = read_config(values, config_file)
    report = ConversionReport(path)
    tensors, report.read, report.unread = read_weights(path)
    form = "hugging_face_tf" if are_tensorflow_names(tensors) else "hugging_face"
    named = _by_model_names(tensors, form, report)
    stated = _stated_task(values, config_file)
    heads, task = heads_and_task(form, config, named, stated=stated, wanted=wanted, report=report)
    weights = assemble(form, config, heads, tensors=named, report=report)
    tokenizer = read_tokenizer(path)
    return Pretrained(
        config=config,
        weights=weights,
        report=report,
        task=task,
        **tokenizer.fields(),
        labels=class_labels(values.get("id2label"), weights, task, source=config_file),
        activation=cross_encoders.read_activation(values, config_file) or "sigmoid",
        max_seq_length=_max_seq_length(path),
    )


def _max_seq_length(path: str) -> int | None:
    """Return `model_max_length` of the tokenizer; None if it is missing, or so large that it means no limit (1e30)."""
    length = tokenizer_settings(path).get("model_max_length")
    return length if isinstance(length, int) and 3 <= length < 1_000_000 else None


def _by_model_names(
    tensors: Mapping[str, np.ndarray], form: str, report: ConversionReport
) -> dict[str, tuple[str, np.ndarray]]:
    """Return the tensors by the names of `BertModel`, without copies of others, which the report lists."""
    found: dict[str, tuple[str, np.ndarray]] = {}
    for original, value in tensors.items():
        # Old files use TensorFlow's names for the weights of LayerNorm. Models with a head call the encoder `bert`.
        name = pytorch_name(original) if form == "hugging_face_tf" else original
        name = _WRAPPERS.sub("", name).removeprefix("bert.")
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        if name == "embeddings.position_ids":
            report.ignored[original] = "the numbers 0, 1, 2 ..."
        elif value.dtype.kind in "biu":
            report.ignored[original] = "whole numbers, as no weight of a BERT is"
        elif name in found and form == "hugging_face_tf" and np.array_equal(value, found[name][1]):
            report.ignored[original] = f"the same as {found[name][0]}"  # Keras repeats layers that several layers hold
        elif name in found:
            raise ValueError(f"{report.source}: each weight must occur once. Received: {original!r}, a second {name}")
        else:
            found[name] = (original, value)
    for copy, of in (("weight", "embeddings.word_embeddings.weight"), ("bias", "cls.predictions.bias")):
        if f"{_DECODER}.{copy}" not in found:
            continue
        original, value = found.pop(f"{_DECODER}.{copy}")
        if of not in found:
            found[of] = (original, value)
        elif np.array_equal(value, found[of][1]):
            report.ignored[original] = f"the same as {found[of][0]}"
        else:
            raise ValueError(
                f"{report.source}: {original!r} must be the same as {found[of][0]!r}, which BERT ties it to. "
                "Received: other values"
            )
    return found


def _stated_task(values: Mapping[str, Any], config_file: str) -> Statement:
    """Return what `architectures` and `problem_type` say about the task, and warn of unknown architectures."""
    named = values.get("architectures") or []
    named = [str(name) for name in named] if isinstance(named, list) else [str(named)]
    named = [name.removeprefix("TF") for name in named]  # as the earliest versions of the TensorFlow classes wrote it
    known = {*_OTHER_ARCHITECTURES, *(name for kind in MODEL_KINDS.values() for name in kind.architectures)}
    warn_of_architectures(config_file, [name for name in named if name not in known])
    problem_type = values.get("problem_type")
    # In the order of the tasks: a number is a regression's unless something says that it orders passages.
    of_problem = [task for task, kind in TASKS.items() if kind.problem_type is not None]
    if problem_type is not None:
        of_problem = [task for task in of_problem if TASKS[task].problem_type == problem_type]
    stated = [task for task, kind in TASKS.items() if any(name in kind.architectures for name in named)]
    if not named and problem_type is not None:
        stated = of_problem
    tasks = tuple(task for task in stated if TASKS[task].problem_type is None or task in of_problem)
    if Reranking.kind in tasks and cross_encoders.read_activation(values, config_file) is not None:
        tasks = (Reranking.kind, *(task for task in tasks if task != Reranking.kind))
    choices = sorted({name for task in TASKS.values() if task.has_classes for name in task.architectures})
    return Statement(
        tasks=tasks,
        is_certain=any(name in known for name in named) or bool(tasks),
        advice=f"{config_file}: `architectures` must name one of {', '.join(choices)}, with a `problem_type` that fits "
        f"the outputs. Received: architectures {named}, problem_type {problem_type!r}",
    )


def write(pretrained: Pretrained, output_dir: str, card: ModelCard | None = None, *, hub_name: str = "") -> None:
    """Write a folder that `transformers` loads: configuration, safetensors, files of the tokenizer, and a page.

    Fixed sinusoidal positions are written as a table of learned positions with the same numbers. The folder of a model
    for retrieval, or of a reranker, is also a folder of Sentence Transformers.

    Args:
        pretrained: the model to write.
        output_dir: a new or an empty folder; appears whole or not at all.
        card: what the page says beside what follows from the model.
        hub_name: the name that the model will have on the hub, for the page.

    Raises:
        ValueError: `transformers` does not support such a model.
        OSError: the folder cannot be written.
    """
    if pretrained.pooling != "cls":
        raise ValueError(
            "BertForSequenceClassification reads the pooled [CLS] output. A model must have `pooling` cls to be "
            f"written. Received: {pretrained.pooling!r}"
        )
    architecture, has_pooler = _architecture(pretrained)
    left_out = [name for name in pretrained.weights if name.startswith("encoder/pooler/") and not has_pooler]
    for name in left_out:
        for tensor in pretrained.report.loaded.pop(name):
            pretrained.report.ignored[tensor] = f"{architecture} has no pooler"
    tensors = {}
    for name, value in disassemble("hugging_face", pretrained, without=left_out).items():
        in_encoder = name.startswith(("embeddings.", "encoder.", "pooler."))
        tensors[f"bert.{name}" if in_encoder and architecture != "BertModel" else name] = value
    values = {"architectures": [architecture]} | hugging_face_values(pretrained.config)
    problem_type = MODEL_KINDS[pretrained.task].problem_type
    if problem_type is not None:
        values["problem_type"] = problem_type
    if pretrained.task == Reranking.kind:
        values |= cross_encoders.stated_activation(pretrained.activation)
    head = MODEL_KINDS[pretrained.task].heads[-1:]
    if head and "classifier.bias" in head_names("hugging_face", pretrained.config, head[0]):
        # Without names, `transformers` makes a head of two classes.
        labels = pretrained.labels or made_up_labels(len(tensors["classifier.bias"]))
        values["id2label"] = {str(number): label for number, label in enumerate(labels)}
        values["label2id"] = {label: number for number, label in enumerate(labels)}
    tokenizer = pretrained.tokenizer() if pretrained.tokens is not None else None
    if tokenizer is not None:
        values["pad_token_id"] = tokenizer.pad_id
    with folders.folder_written_whole(output_dir) as folder:
        data = safetensors.numpy.save(tensors, metadata={"format": "pt"})
        files.write_bytes(os.path.join(folder, "model.safetensors"), data)
        if tokenizer is not None:
            length = pretrained.max_seq_length or pretrained.config.max_position_embeddings
            write_tokenizer(tokenizer, length, folder)
        if pretrained.sentences is not None:
            settings = dataclasses.replace(pretrained.sentences, max_seq_length=pretrained.max_seq_length)
            sentence_transformers.write_settings(settings, pretrained.config.hidden_size, folder)
        page = (card or ModelCard()).page(pretrained, architecture, hub_name)
        files.write_text(os.path.join(folder, CARD_FILE), page)
        files.write_json(os.path.join(folder, CONFIG_FILE), values)


def _architecture(pretrained: Pretrained) -> tuple[str, bool]:
    """Return the class of `transformers` with the model's heads, and whether that class has a pooler.

    Raises:
        ValueError: there is no such class.
    """
    for architecture, heads in MODEL_KINDS[pretrained.task].architectures.items():
        if set(heads) - {"encoder/pooler"} == set(pretrained.heads):
            return architecture, "encoder/pooler" in heads
    raise ValueError(f"the model must be one that `transformers` has a class for. Received: one for {pretrained.task}")
