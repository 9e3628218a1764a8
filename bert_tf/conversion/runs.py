"""A run's folder of ours, read as any published checkpoint is."""

import os

import tensorflow as tf

from bert_tf.conversion.pretrained import Pretrained
from bert_tf.conversion.report import ConversionReport
from bert_tf.conversion.sentence_transformers import SentenceSettings
from bert_tf.runs import checkpoints
from bert_tf.runs import folder as run_folder
from bert_tf.runs.result import read_result, result_tensors
from bert_tf.utils import files


def is_folder(path: str) -> bool:
    """Whether `path` looks like a run's folder."""
    file = os.path.join(path, run_folder.CONFIG_FILE)
    if not files.exists(file) or tf.io.gfile.isdir(file):
        return False
    values = files.read_json(file)
    return isinstance(values, dict) and "vocab_hash" in values


def read(path: str, flag: str = "path") -> Pretrained:
    """Weights with vocabulary and labels: of the best evaluation, where it was kept, else of the newest checkpoint.

    Args:
        path: the folder.
        flag: the flag or argument it came from, for messages.

    Raises:
        FileNotFoundError: there is no complete checkpoint.
        ValueError: it is damaged.
    """
    description, tokenizer = run_folder.read(path, flag)
    report = ConversionReport(path)
    weights = {}
    tensors = read_result(path, checkpoints.read_tensors)
    result = result_tensors(tensors, run_folder.use_average(description))
    for name, tensor in result.items():
        weights[name] = tensors[tensor]
        report.loaded[name] = (tensor,)
    for name in tensors.keys() - set(result.values()):
        report.ignored[name] = "the state of training"
    settings = description.experiment.get("task", {})
    is_retrieval = description.task == "retrieval"
    return Pretrained(
        config=description.model,
        weights=weights,
        report=report,
        task=description.task,
        tokens=tuple(tokenizer.tokens),
        do_lower_case=tokenizer.do_lower_case,
        labels=tuple(description.labels),
        pooling="cls" if is_retrieval else settings.get("pooling", "cls"),
        sentences=SentenceSettings(settings["pooling"], settings["normalize"]) if is_retrieval else None,
        max_seq_length=description.max_seq_length,
    )
