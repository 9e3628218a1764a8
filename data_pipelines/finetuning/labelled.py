"""The readers of labelled files, one for each kind of task."""

from collections.abc import Mapping
from typing import Any, Protocol

from bert_tf.configs.multi_task import MultiTaskConfig
from bert_tf.configs.tasks import AnyTaskConfig
from bert_tf.examples import DIGESTS, Examples, ExamplesByTask
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from data_pipelines.finetuning.by_task import files_by_task
from data_pipelines.finetuning.in_memory import MEMORY
from data_pipelines.finetuning.multiple_choice import read_choices
from data_pipelines.finetuning.question_answering import read_questions
from data_pipelines.finetuning.reranking import read_rankings
from data_pipelines.finetuning.retrieval import read_pairs
from data_pipelines.finetuning.seq2seq import SEPARATOR, read_sources_and_targets
from data_pipelines.finetuning.splits import Split
from data_pipelines.finetuning.tables import TFDS
from data_pipelines.finetuning.tagging import read_tagged
from data_pipelines.finetuning.texts import read_texts


class Reader(Protocol):
    """The reader of one kind of task."""

    def __call__(self, path: str, config: Any, *, labelled: bool, strict: bool) -> list[Any]:
        """Return the examples of a file, at least one. The arguments and errors are those of `read_examples`."""


def _read_questions(path: str, config: Any, *, labelled: bool, strict: bool) -> list[Any]:
    return read_questions(path, labelled=labelled, strict=strict)


def _read_tagged(path: str, config: Any, *, labelled: bool, strict: bool) -> list[Any]:
    return read_tagged(path, config, labelled=labelled)


def _read_texts(path: str, config: Any, *, labelled: bool, strict: bool) -> list[Any]:
    return read_texts(path, config, labelled=labelled)


def _read_pairs(path: str, config: Any, *, labelled: bool, strict: bool) -> list[Any]:
    return read_pairs(path, config)


def _read_rankings(path: str, config: Any, *, labelled: bool, strict: bool) -> list[Any]:
    return read_rankings(path, config, labelled=labelled)


def _read_sources_and_targets(path: str, config: Any, *, labelled: bool, strict: bool) -> list[Any]:
    return read_sources_and_targets(path, config, labelled=labelled)


def _read_choices(path: str, config: Any, *, labelled: bool, strict: bool) -> list[Any]:
    return read_choices(path, config, labelled=labelled)


READERS: dict[str, Reader] = {
    "classification": _read_texts,
    "multi_label": _read_texts,
    "regression": _read_texts,
    "tagging": _read_tagged,
    "question_answering": _read_questions,
    "retrieval": _read_pairs,
    "reranking": _read_rankings,
    "seq2seq": _read_sources_and_targets,
    "multiple_choice": _read_choices,
}
"""The reader of each kind of task."""


def read_examples(
    path: str, config: AnyTaskConfig | MultiTaskConfig, *, labelled: bool = True, strict: bool = False
) -> Examples:
    """Return the examples of a file, read by the reader of the task's kind.

    Args:
        path: a local or remote file, or a data set as `tfds:NAME[SPLIT]`, in a format of the reader. Sequence to
            sequence also takes text files, `SOURCES,TARGETS`. Several tasks need a file each, `TASK=FILE,TASK=FILE`.
        config: the configuration of the task or the tasks (`bert_tf.configs.tasks`, `bert_tf.configs.multi_task`).
        labelled: whether labels are read.
        strict: whether an answer that is not at the position that the file gives is an error (question answering).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file does not suit the task. The message names file and line.
    """
    if isinstance(config, MultiTaskConfig):
        by_task = {
            name: read_examples(file, config.by_name()[name], labelled=labelled, strict=strict)
            for name, file in files_by_task(path, config.by_name()).items()
        }
        return ExamplesByTask.of(by_task)
    in_two_files = config.kind == "seq2seq" and SEPARATOR in path  # which the reader looks for
    if not path.startswith(TFDS) and not in_two_files and not files.exists(path):
        raise FileNotFoundError(f"`path` must be a file that exists. Received: {path!r}")
    return Examples(READERS[config.kind](path, config, labelled=labelled, strict=strict), path)


def read_parts(
    config: AnyTaskConfig | MultiTaskConfig,
    paths: Mapping[str, str | Examples | None],
    *,
    split: str | None = None,
    split_seed: int = 0,
    strict: bool = False,
) -> dict[str, Examples]:
    """Return the examples of each part: `train`, `eval` and `test`, as far as they are given.

    Args:
        config: the configuration of the task.
        paths: the file of each part, its examples, or None. Messages name `train_file`, `eval_file` and `test_file`.
        split: the shares by which the training file is split into parts (`splits.Split.parse`); None if each part has
            a file of its own.
        split_seed: the random seed of `split`.
        strict: see `read_examples`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: both a split and other files are given, or as `read_examples`.
    """
    given = {part: path for part, path in paths.items() if path}
    if split is not None and len(given) > 1:
        raise ValueError(
            f"`split` splits `train_file`, so no other file may be given. Received: {split!r} and files for "
            f"{', '.join(given)}"
        )
    parts = {}
    for part, path in given.items():
        with renamed(path=f"{part}_file"):
            parts[part] = path if isinstance(path, Examples) else read_examples(path, config, strict=strict)
    return _split(Split.parse(split, split_seed), parts["train"]) if split is not None else parts


def _split(split: Split, examples: Examples) -> dict[str, Examples]:
    """Return the parts of the examples. Those of several tasks are split each for itself."""
    if not isinstance(examples, ExamplesByTask):
        return split.parts(examples)
    by_task = {name: split.parts(own) for name, own in examples.by_task.items()}
    return {
        part: ExamplesByTask.of({name: parts[part] for name, parts in by_task.items()})
        for part in next(iter(by_task.values()))
    }


def read_part(config: AnyTaskConfig | MultiTaskConfig, data: dict[str, Any], part: str) -> Examples:
    """Return one part of the file that a run split.

    Args:
        config: the configuration of the task.
        data: the data in the run's description: the file `train`, `split`, `split_seed` and the parts' `digests`.
        part: `train`, `eval` or `test`.

    Raises:
        FileNotFoundError: the file no longer exists.
        ValueError: the run had no split, the split has no such part, or the file holds other examples by now.
    """
    if not data.get("split"):
        raise ValueError(f"`part` needs a run made with --split. Received: {part!r}, for a run without a split")
    if data["train"] == MEMORY:
        raise ValueError(f"`part` needs a run on a file. Received: {part!r}, for a run on {MEMORY}")
    parts = read_parts(config, {"train": data["train"]}, split=data["split"], split_seed=data["split_seed"])
    if part not in parts:
        raise ValueError(f"`part` must be one of {', '.join(parts)}, the parts of {data['split']}. Received: {part!r}")
    if parts[part].digest() != data.get(DIGESTS, {}).get(part, parts[part].digest()):
        raise ValueError(
            f"`part` must be the examples that the run had, but the file changed since. Received: {part!r} of "
            f"{data['train']}"
        )
    return parts[part]
