"""Checkpoints of google-research/bert (TF1) and of TensorFlow's model garden (TF2).

```
bert_config.json  bert_model.ckpt.index  bert_model.ckpt.data-00000-of-00001  vocab.txt  [bert_task.json]
```
"""

import os
import re
from typing import Any

import numpy as np
from absl import logging

from bert_tf.configs.published import google_values, read_config
from bert_tf.conversion import folders
from bert_tf.conversion.heads import Statement, class_labels, heads_and_task
from bert_tf.conversion.pretrained import Pretrained, assemble, disassemble
from bert_tf.conversion.report import ConversionReport
from bert_tf.tasks import TASKS
from bert_tf.tasks.texts import Classification, Regression
from bert_tf.tokenization.published import read_tokenizer
from bert_tf.tokenization.published_writer import write_settings, write_vocabulary
from bert_tf.utils import files
from bert_tf.utils.tensor_bundles import Bundle, BundleError, write_bundle

CONFIG_FILE = "bert_config.json"
TASK_FILE = "bert_task.json"
"""The task and the labels of a fine-tuned model, which the names of its tensors do not tell; a file of our own."""

CHECKPOINT = "bert_model.ckpt"
"""The name of published checkpoints, and of those written here."""

_TF2_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_OPTIMIZER = re.compile(r"/(adam_[mv]|Adam(_1)?|lamb_[mv]|LAMB(_1)?)$|(^|/)optimizer/|/\.OPTIMIZER_SLOT/")
_COUNTERS = re.compile(r"^(global_step|save_counter|_CHECKPOINTABLE_OBJECT_GRAPH)(/|$)|^beta[12]_power$")

# A block's attributes in the model garden -> the end of their names in TF1. The attention's output product is inside
# the attention layer; in early versions it was beside it.
_TF2_BLOCK = (
    (re.compile(r"_attention_layer/_(query|key|value)_dense/(.*)"), r"attention/self/\1/\2"),
    (re.compile(r"(?:_attention_layer/_output_dense|_attention_output_dense)/(.*)"), r"attention/output/dense/\1"),
    (re.compile(r"_attention_layer_norm/(.*)"), r"attention/output/LayerNorm/\1"),
    (re.compile(r"_intermediate_dense/(.*)"), r"intermediate/dense/\1"),
    (re.compile(r"_output_dense/(.*)"), r"output/dense/\1"),
    (re.compile(r"_output_layer_norm/(.*)"), r"output/LayerNorm/\1"),
)
_TF2_EMBEDDINGS = {
    "_embedding_layer/embeddings": "word_embeddings",
    "_position_embedding_layer/embeddings": "position_embeddings",
    "_type_embedding_layer/embeddings": "token_type_embeddings",
    "_embedding_norm_layer/gamma": "LayerNorm/gamma",
    "_embedding_norm_layer/beta": "LayerNorm/beta",
}
_TF2_HEADS = (
    (re.compile(r"_pooler_layer/(.*)"), r"bert/pooler/dense/\1"),
    (re.compile(r"next_sentence\.\.pooler_dense/(.*)"), r"bert/pooler/dense/\1"),
    (re.compile(r"masked_lm/dense/(.*)"), r"cls/predictions/transform/dense/\1"),
    (re.compile(r"masked_lm/layer_norm/(.*)"), r"cls/predictions/transform/LayerNorm/\1"),
    (re.compile(r"masked_lm/bias"), "cls/predictions/output_bias"),
)


def _prefix(path: str) -> str | None:
    """Return the prefix of the checkpoint that `path` is or holds, or None if there is none."""
    path = path.removesuffix(".index")
    if files.exists(f"{path}.index"):
        return path
    if not files.is_folder(path):
        return None
    if folders.has(path, f"{CHECKPOINT}.index"):
        return os.path.join(path, CHECKPOINT)
    found = sorted(name.removesuffix(".index") for name in files.names_in_folder(path) if name.endswith(".index"))
    if len(found) > 1:
        raise ValueError(
            f"`path`: the folder holds several checkpoints; name one of {', '.join(found)}. Received: {path!r}"
        )
    return os.path.join(path, found[0]) if found else None


def is_checkpoint(path: str) -> bool:
    """Return whether `path` is the prefix of a TensorFlow checkpoint, or a folder with one and its configuration."""
    prefix = _prefix(path)
    return prefix is not None and folders.has(os.path.dirname(prefix), CONFIG_FILE)


def read_bundle(prefix: str) -> dict[str, np.ndarray]:
    """Return the numeric tensors of a TensorFlow checkpoint, by name.

    Raises:
        ValueError: the checkpoint is damaged or incomplete.
    """
    try:
        return Bundle(prefix).read_numbers()
    except BundleError as error:
        raise ValueError(f"{prefix}: the checkpoint cannot be read ({error})") from None


def read(path: str, wanted: str | None = None) -> Pretrained:
    """Read the configuration, weights and vocabulary of a checkpoint.

    This format does not state the casing. A vocabulary without capitals is taken to be uncased, unless there is a
    `tokenizer_config.json`.

    Args:
        path: the folder, or the checkpoint's prefix in it.
        wanted: the task of the model that is to be loaded, as in `loading.read_pretrained`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or the model is not a BERT.
    """
    prefix = _prefix(path)
    if prefix is None:
        raise FileNotFoundError(f"`path` must be a TensorFlow checkpoint. Received: {path!r}")
    folder = os.path.dirname(prefix)
    config_file = os.path.join(folder, CONFIG_FILE)
    config = read_config(files.read_json(config_file), config_file)
    report = ConversionReport(prefix)
    tensors: dict[str, tuple[str, np.ndarray]] = {}
    upright: set[str] = set()  # output products, [D, C] in TF2 and [C, D] in TF1
    for original, value in read_bundle(prefix).items():
        if _OPTIMIZER.search(original):
            report.ignored[original] = "the state of the optimizer"
        elif _COUNTERS.search(original):
            report.ignored[original] = "a counter"
        elif original == f"masked_lm/embedding_table{_TF2_SUFFIX}":
            report.ignored[original] = "the token embeddings again"
        else:
            name = _tf1_name(original, config.num_layers)
            if name.endswith("/output_weights") and name != original:
                value = value.T
                upright.add(original)
            tensors[name] = (original, value)
    stated, labels = _stated_task(folder)
    heads, task = heads_and_task("google", config, tensors, stated=stated, wanted=wanted, report=report)
    if task in TASKS and wanted is None and "output_weights" in tensors and not stated.is_certain:
        logging.warning(
            "%s: the checkpoint does not say whether its head is a classifier's or a tagger's. It is read as that of "
            "run_classifier.py, for %s; give `task` for another",
            prefix,
            task,
        )
    weights = assemble("google", config, heads, tensors=tensors, report=report)
    report.transposed = [name for name in report.transposed if name not in upright]
    tokenizer = read_tokenizer(folder)
    return Pretrained(
        config=config,
        weights=weights,
        report=report,
        task=task,
        **tokenizer.fields(),
        labels=class_labels(labels, weights, task, source=os.path.join(folder, TASK_FILE)),
    )


def _tf1_name(name: str, num_layers: int) -> str:
    """Return the name in google-research/bert of a variable of the model garden, and other names unchanged."""
    if not name.endswith(_TF2_SUFFIX):
        return name
    path = re.sub(r"^(model|encoder)/", "", name.removesuffix(_TF2_SUFFIX))
    if path in _TF2_EMBEDDINGS:
        return f"bert/embeddings/{_TF2_EMBEDDINGS[path]}"
    for pattern, replacement in _TF2_HEADS:
        if pattern.fullmatch(path):
            return pattern.sub(replacement, path)
    block = re.fullmatch(r"_transformer_layers/(\d+)/(.*)", path)
    if block:
        return _tf1_block_name(int(block[1]), block[2]) or name
    # Layers have one number in an encoder. In a pre-training model they have that of the part (encoder, masked LM,
    # next sentence) and those of the layers in it.
    counted = re.fullmatch(r"((?:layer_with_weights-\d+/)+)(.*)", path)
    if not counted:
        return name
    numbers, rest = [int(number) for number in re.findall(r"\d+", counted[1])], counted[2]
    if len(numbers) == 1:
        return _tf1_encoder_name(numbers[0], rest, num_layers) or name
    if len(numbers) == 3 and numbers[:2] == [0, 0]:
        return _tf1_encoder_name(numbers[2], rest, num_layers) or name
    if numbers[:2] == [0, 1] and len(numbers) == 3:
        parts = ("transform/dense/", "transform/LayerNorm/", "output_")
        return f"cls/predictions/{parts[numbers[2]]}{rest}" if numbers[2] < len(parts) else name
    if numbers == [0, 2, 0]:
        return "cls/seq_relationship/output_weights" if rest == "kernel" else f"cls/seq_relationship/output_{rest}"
    return name


def _tf1_encoder_name(number: int, rest: str, num_layers: int) -> str | None:
    tables = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    if number < len(tables):
        return f"bert/embeddings/{tables[number]}" if rest == "embeddings" else None
    if number == len(tables):
        return f"bert/embeddings/LayerNorm/{rest}"
    if number < len(tables) + 1 + num_layers:
        return _tf1_block_name(number - len(tables) - 1, rest)
    return f"bert/pooler/dense/{rest}" if number == len(tables) + 1 + num_layers else None


def _tf1_block_name(number: int, rest: str) -> str | None:
    for pattern, replacement in _TF2_BLOCK:
        if pattern.fullmatch(rest):
            return f"bert/encoder/layer_{number}/{pattern.sub(replacement, rest)}"
    return None


def _stated_task(folder: str) -> tuple[Statement, Any]:
    """Return what the folder says about the task, and the labels that it names.

    Google's own classifiers (`run_classifier.py`) say nothing, and are those that a silent folder is taken for.
    """
    file = os.path.join(folder, TASK_FILE)
    if not files.exists(file):
        default = (Classification.kind, Regression.kind)
        return Statement(default, advice=f"{file} may name it"), None
    values = files.read_json(file)
    if not isinstance(values, dict) or values.get("task") not in TASKS:
        raise ValueError(f"{file}: `task` must be one of {', '.join(TASKS)}. Received: {values!r:.100}")
    task = values["task"]
    return Statement((task,), is_certain=True, advice=f"{file} names {task}"), values.get("labels")


def write(pretrained: Pretrained, output_dir: str) -> None:
    """Write `bert_config.json`, `bert_model.ckpt` with the names of google-research/bert, and `vocab.txt`.

    A fine-tuned model's task and labels are kept in a file of our own, `bert_task.json`, and the casing and options of
    the tokenizer in `tokenizer_config.json`, if `vocab.txt` does not show them.

    `hidden_act` keeps its name. Google's code knows only `gelu`, and computes the tanh approximation under this name.
    To use a model of `gelu_new` there, change `hidden_act` to `gelu`.

    Args:
        pretrained: the model to write.
        output_dir: a new or an empty folder; appears whole or not at all.

    Raises:
        ValueError: this format does not support such a model.
        OSError: the folder cannot be written.
    """
    if pretrained.pooling != "cls":
        raise ValueError(f"`pooling` must be cls for Google's format. Received: {pretrained.pooling!r}")
    values = google_values(pretrained.config)
    tensors = disassemble("google", pretrained)
    tokenizer = pretrained.tokenizer() if pretrained.tokens is not None else None
    with folders.folder_written_whole(output_dir) as folder:
        write_bundle(os.path.join(folder, CHECKPOINT), tensors)
        if tokenizer is not None:
            write_vocabulary(tokenizer, folder)
            write_settings(tokenizer, folder)
        if pretrained.task in TASKS:
            task = {"task": pretrained.task, "labels": list(pretrained.labels)}
            files.write_json(os.path.join(folder, TASK_FILE), task)
        files.write_json(os.path.join(folder, CONFIG_FILE), values)
