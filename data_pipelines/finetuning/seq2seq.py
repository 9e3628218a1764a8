"""The reader of sources and targets, from tables and from parallel files of lines."""

from bert_tf.configs.tasks import Seq2SeqConfig
from bert_tf.examples import Seq2SeqExample
from bert_tf.utils import files
from data_pipelines.finetuning import tables

SEPARATOR = ","
"""The sign between the files of sources and of targets."""


def read_sources_and_targets(path: str, config: Seq2SeqConfig, *, labelled: bool = True) -> list[Seq2SeqExample]:
    """Return the examples of a table (`tables.read_rows`), or of two parallel files of lines.

    Args:
        path: a table; two text files, `SOURCES,TARGETS`, whose lines belong together; or, without targets, a text file
            (`.txt`) of sources.
        config: the settings of the task, which name the columns.
        labelled: whether targets are read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, a source or a target is empty, the files have different numbers of lines, or
            there are no examples. The message names file and line.
    """
    if SEPARATOR in path and not path.startswith(tables.TFDS) and not files.exists(path):
        examples = _of_lines(path.split(SEPARATOR), path, labelled=labelled)
    elif tables.suffix_of(path) == ".txt":
        if labelled:
            raise ValueError(
                "`path` must name two text files, SOURCES,TARGETS, or a table with columns "
                f"{config.source_column!r} and {config.target_column!r}. Received: {path!r}"
            )
        examples = _of_lines([path], path, labelled=False)
    else:
        examples = pairs_of_rows(tables.read_rows(path), config, labelled=labelled)
    if not examples:
        raise ValueError(f"`path` must name a file with at least one example. Received: {path!r}, which has no rows")
    return examples


def pairs_of_rows(rows: tables.TableRows, config: Seq2SeqConfig, *, labelled: bool = True) -> list[Seq2SeqExample]:
    """Return the examples of a table's rows. Arguments and errors are those of `read_sources_and_targets`."""
    group = config.group_column
    return [
        Seq2SeqExample(
            text=tables.text_field(row, config.source_column, source),
            target=tables.text_field(row, config.target_column, source) if labelled else None,
            group=None if group is None else tables.text_field(row, group, source),
            source=source,
        )
        for source, row in rows
    ]


def _of_lines(paths: list[str], path: str, *, labelled: bool) -> list[Seq2SeqExample]:
    """Return the examples of one text file of sources, or of two of sources and targets."""
    if len(paths) > 2:
        raise ValueError(f"`path` must name one or two text files, SOURCES,TARGETS. Received: {path!r}")
    columns = []
    for name in paths[: 2 if labelled else 1]:
        if not files.exists(name):
            raise FileNotFoundError(f"`path` must name files that exist. Received: {path!r}, without {name!r}")
        lines = [line.strip() for line in files.iterate_lines(name)]
        empty = next((number for number, line in enumerate(lines, 1) if not line), None)
        if empty is not None:
            raise ValueError(f"{name}, line {empty}: must not be empty. Received: an empty line")
        columns.append(lines)
    if len({len(lines) for lines in columns}) > 1:
        raise ValueError(
            f"`path` must name two files with as many lines. Received: {len(columns[0])} lines in {paths[0]} and "
            f"{len(columns[1])} in {paths[1]}"
        )
    return [
        Seq2SeqExample(texts[0], texts[1] if labelled else None, source=f"{paths[0]}, line {number}")
        for number, texts in enumerate(zip(*columns, strict=True), 1)
    ]
