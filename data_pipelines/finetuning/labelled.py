"""Files of examples, by the kind of the task that they are for."""

from collections.abc import Callable
from typing import Any

from bert_tf.examples import Examples
from bert_tf.utils import files
from data_pipelines.finetuning.question_answering import read_questions
from data_pipelines.finetuning.retrieval import read_pairs
from data_pipelines.finetuning.splits import Split
from data_pipelines.finetuning.tables import TFDS
from data_pipelines.finetuning.tagging import read_tagged
from data_pipelines.finetuning.texts import read_texts


def _read_questions(path: str, config: Any, flag: str, labelled: bool, strict: bool) -> list[Any]:
    return read_questions(path, flag, labelled, strict)


def _read_tagged(path: str, config: Any, flag: str, labelled: bool, strict: bool) -> list[Any]:
    return read_tagged(path, config, flag, labelled)


def _read_texts(path: str, config: Any, flag: str, labelled: bool, strict: bool) -> list[Any]:
    return read_texts(path, config, flag, labelled)


def _read_pairs(path: str, config: Any, flag: str, labelled: bool, strict: bool) -> list[Any]:
    return read_pairs(path, config, flag)


READERS: dict[str, Callable[[str, Any, str, bool, bool], list[Any]]] = {
    "classification": _read_texts,
    "multi_label": _read_texts,
    "regression": _read_texts,
    "tagging": _read_tagged,
    "question_answering": _read_questions,
    "retrieval": _read_pairs,
}
"""`kind` of a task -> reader of (path, task's configuration, flag, labelled, strict)."""


def read_examples(path: str, config: Any, flag: str, labelled: bool = True, strict: bool = False) -> Examples:
    """The examples of a file.

    Args:
        path: see the task's reader.
        config: the task's configuration (`bert_tf.configs.tasks`).
        flag: the flag the path came from, for messages.
        labelled: whether labels are read.
        strict: whether answers in the wrong place are errors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else than the task wants; the message names file and line.
    """
    if not path.startswith(TFDS) and not files.exists(path):
        raise FileNotFoundError(f"{flag}: no such file: {path!r}")
    return Examples(READERS[config.kind](path, config, flag, labelled, strict), path)


def read_parts(
    config: Any, paths: dict[str, str | None], split: str | None = None, split_seed: int = 0, strict: bool = False
) -> dict[str, Examples]:
    """The examples of each part that there is: `train`, `eval`, `test`.

    Args:
        config: the task's configuration.
        paths: the file of each part; None for none. They come from the flags `--train_file` and so on.
        split: shares of the training file that the parts are made of (`splits.Split.parse`); None: each has a file.
        split_seed: of the choice.
        strict: as in `read_examples`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: both a split and other files are given; or see `read_examples`.
    """
    given = {part: path for part, path in paths.items() if path}
    if split is not None and len(given) > 1:
        raise ValueError(f"--split takes --train_file apart, so that no other file may be given. Received: {split!r}")
    parts = {part: read_examples(path, config, f"--{part}_file", strict=strict) for part, path in given.items()}
    return Split.parse(split, split_seed).parts(parts["train"]) if split is not None else parts


def read_part(config: Any, data: dict[str, Any], part: str) -> Examples:
    """A part of the file that a run split.

    Args:
        config: the task's configuration.
        data: of the run's description: `train`, the file, `split` and `split_seed`.
        part: `train`, `eval` or `test`.

    Raises:
        ValueError: the run was made without a split, or there is no such part.
    """
    if not data.get("split"):
        raise ValueError(f"--part needs a run made with --split. Received: {part!r}, of a run without")
    parts = read_parts(config, {"train": data["train"]}, data["split"], data["split_seed"])
    if part not in parts:
        raise ValueError(f"--part must be one of {', '.join(parts)}, which {data['split']} makes. Received: {part!r}")
    return parts[part]
