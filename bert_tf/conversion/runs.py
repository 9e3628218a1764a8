"""The reader of this project's run folders, with the interface of the readers of published checkpoints."""

import os

from bert_tf.configs.multi_task import MultiTaskConfig
from bert_tf.configs.tasks import RetrievalConfig
from bert_tf.conversion.heads import check_task
from bert_tf.conversion.pretrained import Pretrained
from bert_tf.conversion.report import ConversionReport
from bert_tf.conversion.sentence_transformers import SentenceSettings
from bert_tf.runs import checkpoints
from bert_tf.runs import folder as run_folder
from bert_tf.runs.result import read_result, result_tensors
from bert_tf.tasks import MODEL_KINDS, trainable_of
from bert_tf.tasks.base import member_named
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed


def is_folder(path: str) -> bool:
    """Return whether `path` looks like a run's folder."""
    file = os.path.join(path, run_folder.CONFIG_FILE)
    if not files.exists(file) or files.is_folder(file):
        return False
    values = files.read_json(file)
    return isinstance(values, dict) and "vocab_hash" in values


def read(path: str, task: str | None = None) -> Pretrained:
    """Read the weights, vocabulary and labels of a run.

    The weights are those of the best evaluation if they were kept, else of the newest complete checkpoint.

    Args:
        path: the run's folder.
        task: for a run of several tasks, the name of one, whose head alone is read with the encoder. A key of
            `tasks.MODEL_KINDS`, or None, changes nothing.

    Raises:
        FileNotFoundError: there is no complete checkpoint.
        ValueError: the folder is damaged, or there is no such task.
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
    found = description.of_model()
    if task is not None and task not in MODEL_KINDS:
        if not isinstance(found.task_config, MultiTaskConfig):
            check_task(task)
        assert found.task_config is not None
        member = member_named(trainable_of(found.task_config), found.labels, task)
        own = {name: name.removeprefix(f"{task}/") for name in weights if name.startswith(("encoder/", f"{task}/"))}
        weights = {short: weights[name] for name, short in own.items()}
        for name in list(report.loaded):
            tensors_of = report.loaded.pop(name)
            if name in own:
                report.loaded[own[name]] = tensors_of
            else:
                report.ignored[tensors_of[0]] = "the head of another task"
        found = found.of_task(member)
    config = found.task_config
    retrieval = config if isinstance(config, RetrievalConfig) else None
    return Pretrained(
        config=description.model,
        weights=weights,
        report=report,
        task=found.task,
        tokens=tuple(tokenizer.tokens),
        do_lower_case=tokenizer.do_lower_case,
        tokenizer_options=tokenizer.options,
        labels=tuple(found.labels),
        pooling="cls" if retrieval else getattr(config, "pooling", "cls"),
        sentences=SentenceSettings(retrieval.pooling, retrieval.normalize) if retrieval else None,
        activation=getattr(config, "activation", "sigmoid"),
        max_seq_length=found.max_seq_length,
    )
