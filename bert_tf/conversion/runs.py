"""The reader of this project's run folders, with the interface of the readers of published checkpoints."""

import os

from bert_tf.configs.tasks import RetrievalConfig
from bert_tf.conversion.pretrained import Pretrained
from bert_tf.conversion.report import ConversionReport
from bert_tf.conversion.sentence_transformers import SentenceSettings
from bert_tf.runs import checkpoints
from bert_tf.runs import folder as run_folder
from bert_tf.runs.result import read_result, result_tensors
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed


def is_folder(path: str) -> bool:
    """Return whether `path` looks like a run's folder."""
    file = os.path.join(path, run_folder.CONFIG_FILE)
    if not files.exists(file) or files.is_folder(file):
        return False
    values = files.read_json(file)
    return isinstance(values, dict) and "vocab_hash" in values


def read(path: str) -> Pretrained:
    """Read the weights, vocabulary and labels of a run.

    The weights are those of the best evaluation if they were kept, else of the newest complete checkpoint.

    Args:
        path: the run's folder.

    Raises:
        FileNotFoundError: there is no complete checkpoint.
        ValueError: the folder is damaged.
    """
    with renamed(run_dir="path"):
        description, tokenizer = run_folder.read_run(path)
        tensors = read_result(path, checkpoints.read_tensors)
    report = ConversionReport(path)
    weights = {}
    result = result_tensors(tensors, description.config().train.use_average)
    for name, tensor in result.items():
        weights[name] = tensors[tensor]
        report.loaded[name] = (tensor,)
    for name in tensors.keys() - set(result.values()):
        report.ignored[name] = "the state of training"
    task = description.task_config()
    retrieval = task if isinstance(task, RetrievalConfig) else None
    return Pretrained(
        config=description.model,
        weights=weights,
        report=report,
        task=description.task,
        tokens=tuple(tokenizer.tokens),
        do_lower_case=tokenizer.do_lower_case,
        tokenizer_options=tokenizer.options,
        labels=tuple(description.labels),
        pooling="cls" if retrieval else getattr(task, "pooling", "cls"),
        sentences=SentenceSettings(retrieval.pooling, retrieval.normalize) if retrieval else None,
        activation=getattr(task, "activation", "sigmoid"),
        max_seq_length=description.max_seq_length,
    )
