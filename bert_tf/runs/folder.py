"""What a run's folder says about itself: `config.json` and `vocab.txt`.

```
model_dir/  config.json  vocab.txt  checkpoints/  train/ eval/ (TensorBoard)  metrics.jsonl  export/<version>/
```
"""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from bert_tf.configs import BertConfig, Config, ConfigError, FinetuningConfig, PretrainingConfig
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.runs import run_lock
from bert_tf.runs.metrics_log import METRICS_FILE
from bert_tf.runs.result import restore_result
from bert_tf.tasks import task_of
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed

CONFIG_FILE = "config.json"
VOCAB_FILE = "vocab.txt"


@dataclasses.dataclass(frozen=True)
class RunDescription(Config):
    """What stands in `config.json`: enough to make the model again, and to know another experiment from this one.

    Attributes:
        task: `pretraining`, or the `kind` of the fine-tuning task.
        model: sizes and options of the encoder.
        do_lower_case: how texts are tokenized, with `vocab.txt` beside it.
        vocab_hash: of `vocab.txt` (`WordPieceTokenizer.vocab_hash`).
        max_seq_length: tokens in a row.
        labels: names of the classes, by id.
        experiment: the resolved experiment configuration, as a dictionary.
        data: what the run reads, as a dictionary: folders or files, and their identities.
    """

    task: str
    model: BertConfig
    do_lower_case: bool
    vocab_hash: str
    max_seq_length: int
    labels: tuple[str, ...]
    experiment: dict
    data: dict


# A run may be continued with other values of these: they change what is reported or kept, not what is learnt.
_FREE = {
    "checkpoint_every",
    "eval_every",
    "log_every",
    "eval_batch_size",
    "keep_checkpoints",
    "keep_checkpoint_every_hours",
    "skip_nonfinite",
    "steps_per_loop",
    "recompute",
    "peak_tflops",
    "profile_steps",
}


def _differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted(old.keys() | new.keys())
            if key not in _FREE
            for line in _differences(old.get(key), new.get(key), f"{prefix}{key}.")
        ]
    return [] if old == new else [f"{prefix[:-1]} was {old!r}, now {new!r}"]


def _with_new_fields(description: Any) -> Any:
    """A description that an earlier version wrote, with the fields that have come since, at their defaults."""
    try:
        kind = PretrainingConfig if description["task"] == "pretraining" else FinetuningConfig
        experiment = kind.from_dict(description["experiment"]).to_dict()
        return RunDescription.from_dict(description | {"experiment": experiment}).to_dict()
    except (ConfigError, KeyError, TypeError):
        return description  # the differences will tell what does not fit


@contextmanager
def claimed(
    model_dir: str, description: RunDescription, tokenizer: WordPieceTokenizer, is_chief: bool = True
) -> Iterator[run_lock.RunLock]:
    """`claim` the folder, and hold it while the block runs: no other job writes there.

    Args:
        model_dir: the run's folder.
        description: of the run.
        tokenizer: of the run.
        is_chief: whether this process is the one of its job that writes the folder; others go in without.

    Raises:
        OSError: the folder cannot be written to, or another job holds it.
        ValueError: it holds another experiment; the message names what differs.
    """
    if not is_chief:
        yield run_lock.RunLock()
        return
    with renamed(folder="model_dir"):
        files.require_writable_folder(model_dir)
    with run_lock.held(model_dir) as lock:
        claim(model_dir, description, tokenizer)
        yield lock


def claim(model_dir: str, description: RunDescription, tokenizer: WordPieceTokenizer) -> None:
    """Make `model_dir` this run's folder: write `config.json` and `vocab.txt`, or find that they are the same.

    A start that failed before its first report or checkpoint, for want of memory say, left nothing worth keeping: its
    description is replaced, so that the corrected start need not remove anything.

    Raises:
        OSError: the folder cannot be written to.
        ValueError: it holds another experiment; the message names what differs.
    """
    with renamed(folder="model_dir"):
        files.require_writable_folder(model_dir)
    path = os.path.join(model_dir, CONFIG_FILE)
    new = description.to_dict()
    checkpoints_exist = files.exists(os.path.join(model_dir, "checkpoints"))
    if files.exists(path) and (checkpoints_exist or files.exists(os.path.join(model_dir, METRICS_FILE))):
        differences = _differences(_with_new_fields(files.read_json(path)), new)
        if differences:
            raise ValueError(
                f"--model_dir holds another experiment: {'; '.join(differences[:5])}. Take another folder, or remove "
                f"it. Received: {model_dir!r}"
            )
    elif checkpoints_exist:
        raise ValueError(f"--model_dir holds checkpoints, but no {CONFIG_FILE}. Received: {model_dir!r}")
    files.write_text(os.path.join(model_dir, VOCAB_FILE), "".join(f"{token}\n" for token in tokenizer.tokens))
    files.write_json(path, new)


def read(model_dir: str, flag: str = "--model_dir") -> tuple[RunDescription, WordPieceTokenizer]:
    """The description and the tokenizer of a run's folder.

    Raises:
        FileNotFoundError: it is no folder of a run.
        ValueError: its vocabulary is not the one it was trained with.
    """
    path = os.path.join(model_dir, CONFIG_FILE)
    if not files.exists(path):
        raise FileNotFoundError(f"{flag} must be a run's folder, with a {CONFIG_FILE}. Received: {model_dir!r}")
    description = RunDescription.from_dict(files.read_json(path))
    vocab_file = os.path.join(model_dir, VOCAB_FILE)
    tokenizer = WordPieceTokenizer(vocab_file, do_lower_case=description.do_lower_case)
    if tokenizer.vocab_hash != description.vocab_hash:
        raise ValueError(f"{vocab_file} is not the vocabulary that {path} names: its hash is {tokenizer.vocab_hash}")
    return description, tokenizer


def make_model(description: RunDescription, dtype: str = "float32") -> keras.Model:
    """The model that a description names, with fresh weights.

    Args:
        description: of `read`, or made for a new run.
        dtype: Keras dtype policy.
    """
    if description.task == "pretraining":
        return BertPretrainer(description.model, dtype=dtype)
    task = FinetuningConfig.from_dict(description.experiment).task
    if description.task != task.kind:
        raise ValueError(
            f"`task` must be pretraining or the experiment's own, {task.kind}. Received: {description.task!r}"
        )
    return task_of(task).make_model(description.model, description.labels, dtype)


def use_average(description: RunDescription) -> bool:
    """Whether the averages of a run's weights, where there are some, stand for them."""
    return bool(description.experiment.get("train", {}).get("use_average", True))


def load_model(model_dir: str, flag: str = "--model_dir") -> tuple[keras.Model, RunDescription, WordPieceTokenizer]:
    """The model of a run's folder with the weights of its result, in float32.

    Those of the best evaluation, where fine-tuning kept them, else of the newest complete checkpoint; and their
    averages, where there are some, unless `train.use_average` is off.

    Raises:
        FileNotFoundError: it is no folder of a run, or has no complete checkpoint.
        ValueError: checkpoint and configuration disagree.
    """
    description, tokenizer = read(model_dir, flag)
    model = make_model(description)
    restore_result(model_dir, model, use_average=use_average(description))
    return model, description, tokenizer
