"""Readers of labelled files, one for each kind of task."""

from collections.abc import Callable
from typing import Any

from bert_tf.examples import Examples
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from data_pipelines.finetuning.question_answering import read_questions
from data_pipelines.finetuning.retrieval import read_pairs
from data_pipelines.finetuning.splits import Split
from data_pipelines.finetuning.tables import TFDS
from data_pipelines.finetuning.tagging import read_tagged
from data_pipelines.finetuning.texts import read_texts


def _read_questions(path: str, config: Any, labelled: bool, strict: bool) -> list[Any]:
    return read_questions(path, labelled=labelled, strict=strict)


def _read_tagged(path: str, config: Any, labelled: bool, strict: bool) -> list[Any]:
    return read_tagged(path, config, labelled=labelled)


def _read_texts(path: str, config: Any, labelled: bool, strict: bool) -> list[Any]:
    return read_texts(path, config, labelled=labelled)


def _read_pairs(path: str, config: Any, labelled: bool, strict: bool) -> list[Any]:
    return read_pairs(path, config)


READERS: dict[str, Callable[[str, Any, bool, bool], list[Any]]] = {
    "classification": _read_texts,
    "multi_label": _read_texts,
    "regression": _read_texts,
    "tagging": _read_tagged,
    "question_answering": _read_questions,
    "retrieval": _read_pairs,
}
"""The reader of each kind of task. Its arguments are the path, the task's configuration, `labelled` and `strict`."""


def read_examples(path: str, config: Any, *, labelled: bool = True, strict: bool = False) -> Examples:
    """Return the examples of a file, read as the kind of task needs.

    Args:
        path: the file, in a format of the task's reader.
        config: the task's configuration (`bert_tf.configs.tasks`).
        labelled: whether labels are read.
        strict: whether an answer that does not stand where the file says is an error (question answering).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: The file does not suit the task. The message names file and line.
    """
    if not path.startswith(TFDS) and not files.exists(path):
        raise FileNotFoundError(f"`path` must be a file that exists. Received: {path!r}")
    return Examples(READERS[config.kind](path, config, labelled, strict), path)


def read_parts(
    config: Any,
    paths: dict[str, str | None],
    *,
    split: str | None = None,
    split_seed: int = 0,
    strict: bool = False,
) -> dict[str, Examples]:
    """Return the examples of each part that there is: `train`, `eval` and `test`.

    Args:
        config: the task's configuration.
        paths: the file of each part, or None. Messages call them `train_file` and so on.
        split: the shares of the training file that become the parts (`splits.Split.parse`); None: each has a file.
        split_seed: the seed of that choice.
        strict: as in `read_examples`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: Both a split and other files are given, or as `read_examples`.
    """
    given = {part: path for part, path in paths.items() if path}
    if split is not None and len(given) > 1:
        raise ValueError(f"`split` divides `train_file`, so no other file may be given. Received: {split!r}")
    parts = {}
    for part, path in given.items():
        with renamed(path=f"{part}_file"):
            parts[part] = read_examples(path, config, strict=strict)
    return Split.parse(split, split_seed).parts(parts["train"]) if split is not None else parts


def read_part(config: Any, data: dict[str, Any], part: str) -> Examples:
    """Return one part of the file that a run divided.

    Args:
        config: the task's configuration.
        data: the data of the run's description: `train`, which is the file, `split` and `split_seed`.
        part: `train`, `eval` or `test`.

    Raises:
        ValueError: the run was made without a split, or there is no such part.
    """
    if not data.get("split"):
        raise ValueError(f"`part` needs a run made with --split. Received: {part!r}, of a run without")
    parts = read_parts(config, {"train": data["train"]}, split=data["split"], split_seed=data["split_seed"])
    if part not in parts:
        raise ValueError(f"`part` must be one of {', '.join(parts)}, which {data['split']} makes. Received: {part!r}")
    return parts[part]
