"""The folder of a run: its `config.json` and `vocab.txt`, and the claim that lets one job write to it.

```
run folder/  config.json  vocab.txt  checkpoints/  train/ eval/ (TensorBoard)  metrics.jsonl  export/<version>/
```
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from absl import logging

from bert_tf.configs import ConfigError, FinetuningConfig, PretrainingConfig
from bert_tf.configs.training import DTYPE_POLICIES
from bert_tf.examples import DIGESTS
from bert_tf.runs import run_lock
from bert_tf.runs.descriptions import RunDescription
from bert_tf.runs.metrics_log import METRICS_FILE
from bert_tf.tasks import trainable_of
from bert_tf.tasks.model_kinds import Pretraining
from bert_tf.tokenization.vocab_files import first_difference, read_vocab_file
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed

if TYPE_CHECKING:
    import keras

CONFIG_FILE = "config.json"
VOCAB_FILE = "vocab.txt"

# A run may be continued with other values of these fields, which change only what is reported or kept, or how the same
# updates are computed.
_MAY_CHANGE = {
    "checkpoint_every",
    "eval_every",
    "log_every",
    "eval_batch_size",
    "keep_checkpoints",
    "keep_checkpoint_every_hours",
    "skip_nonfinite",
    "steps_per_loop",
    "concurrent_parts",
    "gradient_accumulation_steps",
    "recompute",
    "attention",
    "shard_optimizer",
    "peak_tflops",
    "profile_steps",
    "outputs_dir",
    "vocab_hash",  # compared by the tokens themselves
    DIGESTS,  # compared by themselves; a run of an earlier version has none
}


def _differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted(old.keys() | new.keys())
            if key not in _MAY_CHANGE
            for line in _differences(old.get(key), new.get(key), f"{prefix}{key}.")
        ]
    return [] if old == new else [f"{prefix[:-1]} was {old!r}, now {new!r}"]


def _check_same_data(old: dict[str, Any], new: dict[str, Any], run_dir: str) -> None:
    """Raise a ValueError if the same files now hold other examples than those that the run began with."""
    before, now = (description["data"].get(DIGESTS) or {} for description in (old, new))
    changed = [part for part in before if part in now and before[part] != now[part]]
    if changed:
        sources = {part: new["data"].get(part) or new["data"].get("train") for part in changed}  # a part of a split
        files_read = ", ".join(f"{part} ({source})" for part, source in sources.items())
        raise ValueError(
            "`run_dir` holds a run on other examples: the data changed since it began. Take another folder, remove "
            f"this one, or put the examples back. Received: {run_dir!r}, with changed examples of {files_read}"
        )


def _with_new_fields(description: Any) -> Any:
    """Return a description of an earlier version, with the defaults of the fields that were added since."""
    try:
        kind = PretrainingConfig if description["task"] == "pretraining" else FinetuningConfig
        experiment = kind.from_dict(description["experiment"]).to_dict()
        return RunDescription.from_dict(description | {"experiment": experiment}).to_dict()
    except (ConfigError, KeyError, TypeError):
        return description  # the caller reports the differences


def _vocabulary_difference(run_dir: str, tokenizer: WordPieceTokenizer) -> str:
    """Return where the vocabulary of a run differs from that of a tokenizer."""
    path = os.path.join(run_dir, VOCAB_FILE)
    found = first_difference(tokenizer.tokens, read_vocab_file(path)) if files.exists(path) else "it is missing"
    return found or "its tokens are the same, but not its options"


@contextmanager
def claimed(
    run_dir: str, description: RunDescription, tokenizer: WordPieceTokenizer, *, is_chief: bool = True
) -> Iterator[run_lock.RunLock]:
    """Claim the folder (`claim`), and keep other jobs from writing to it within the block.

    Args:
        run_dir: the run's folder.
        description: the description of the run.
        tokenizer: the tokenizer of the run.
        is_chief: whether this process writes the folder for its job. Other processes claim nothing.

    Raises:
        OSError: the folder cannot be written to, or another job holds it.
        ValueError: it holds another experiment; the message names what differs.
    """
    if not is_chief:
        yield run_lock.RunLock()
        return
    with renamed(folder="run_dir"):
        files.require_writable_folder(run_dir)
    with run_lock.held(run_dir) as lock:
        claim(run_dir, description, tokenizer)
        yield lock


def claim(run_dir: str, description: RunDescription, tokenizer: WordPieceTokenizer) -> None:
    """Write `config.json` and `vocab.txt` to the run's folder, or check that the existing ones are the same.

    If an earlier start failed before its first report or checkpoint, for example because memory ran out, its
    description is replaced, so that the corrected start can use the folder.

    Raises:
        OSError: the folder cannot be written to.
        ValueError: it holds another experiment; the message names what differs.
    """
    with renamed(folder="run_dir"):
        files.require_writable_folder(run_dir)
    path = os.path.join(run_dir, CONFIG_FILE)
    new = description.to_dict()
    if _has_begun(run_dir):
        old = _with_new_fields(files.read_json(path))
        differences = _differences(old, new)
        if old.get("vocab_hash") != new["vocab_hash"]:
            differences.insert(0, f"its vocabulary differs: {_vocabulary_difference(run_dir, tokenizer)}")
        if differences:
            raise ValueError(
                f"`run_dir` holds another experiment: {'; '.join(differences[:5])}. Take another folder, or remove "
                f"it. Received: {run_dir!r}"
            )
        _check_same_data(old, new, run_dir)
    elif files.exists(os.path.join(run_dir, "checkpoints")) and not files.exists(path):
        raise ValueError(f"`run_dir` holds checkpoints, but no {CONFIG_FILE}. Received: {run_dir!r}")
    files.write_text(os.path.join(run_dir, VOCAB_FILE), "".join(f"{token}\n" for token in tokenizer.tokens))
    files.write_json(path, new)


def precision_of(run_dir: str) -> str | None:
    """Return the precision of the run that has begun in a folder; None if none has, or its description is damaged."""
    if not _has_begun(run_dir):
        return None
    try:
        found = files.read_json(os.path.join(run_dir, CONFIG_FILE))["experiment"]["train"]["precision"]
    except (ValueError, KeyError, TypeError):
        return None  # `claim` reports it
    return found if found in DTYPE_POLICIES else None


def _has_begun(run_dir: str) -> bool:
    """Return whether a run with a description has made its first report or checkpoint."""
    signs = ("checkpoints", METRICS_FILE)
    return files.exists(os.path.join(run_dir, CONFIG_FILE)) and any(
        files.exists(os.path.join(run_dir, name)) for name in signs
    )


def read_run(run_dir: str) -> tuple[RunDescription, WordPieceTokenizer]:
    """Return the description and the tokenizer of a run's folder.

    The described model has plain attention, which every backend computes.

    Raises:
        FileNotFoundError: the folder is not a run's folder.
        ValueError: its vocabulary is not that of the run.
    """
    path = os.path.join(run_dir, CONFIG_FILE)
    if not files.exists(path):
        raise FileNotFoundError(f"`run_dir` must be a run's folder, with a {CONFIG_FILE}. Received: {run_dir!r}")
    description = RunDescription.from_dict(files.read_json(path))
    vocab_file = os.path.join(run_dir, VOCAB_FILE)
    tokenizer = WordPieceTokenizer(vocab_file, description.do_lower_case, description.tokenizer_options)
    if tokenizer.vocab_hash != description.vocab_hash:
        raise ValueError(f"{vocab_file} is not the vocabulary that {path} names: its hash is {tokenizer.vocab_hash}")
    if description.model.attention != "plain":
        logging.info("%s was trained with fused attention, and is read with plain attention.", run_dir)
        description = description.replace(model=description.model.replace(attention="plain"))
    return description, tokenizer


def model_of(description: RunDescription, dtype: str = "float32", *, attention: str = "plain") -> "keras.Model":
    """Return the model of a description, with fresh weights.

    Args:
        description: the description of a run.
        dtype: the Keras dtype policy.
        attention: the implementation of attention, one of `configs.model.ATTENTIONS`. Every backend has `plain`.

    Raises:
        ValueError: `task` is not the task of the experiment.
    """
    task = description.task_config()
    encoder = description.model.replace(attention=attention)
    if task is None:
        return Pretraining.model_class()(encoder, dtype=dtype)
    return trainable_of(task).make_model(encoder, description.labels, dtype)


def load_run(run_dir: str, dtype: str = "float32") -> tuple["keras.Model", RunDescription, WordPieceTokenizer]:
    """Return the model of a run's folder with the weights of its result.

    The result is the weights of the best evaluation if fine-tuning kept them, else of the newest complete checkpoint.
    Averages, if there are any, replace the weights unless `train.use_average` is off.

    Args:
        run_dir: the folder.
        dtype: the Keras dtype policy.

    Raises:
        FileNotFoundError: the folder is not a run's folder, or has no complete checkpoint.
        ValueError: the checkpoint does not fit the configuration.
    """
    from bert_tf.runs.result import restore_result

    description, tokenizer = read_run(run_dir)
    model = model_of(description, dtype)
    restore_result(run_dir, model, use_average=description.config().train.use_average)
    return model, description, tokenizer
