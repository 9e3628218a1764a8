"""The reader of sources and targets, from tables, parallel files of lines, questions, dialogues and catalogues."""

from collections.abc import Sequence
from typing import Any

from bert_tf.configs.tasks import Seq2SeqConfig
from bert_tf.examples import QuestionExample, Seq2SeqExample
from bert_tf.tokenization.wordpiece import SEP
from bert_tf.utils import files
from data_pipelines.finetuning import tables
from data_pipelines.finetuning.catalogues import read_catalogue
from data_pipelines.finetuning.question_answering import read_questions

SEPARATOR = ","
"""The sign between the files of sources and of targets."""


def read_sources_and_targets(path: str, config: Seq2SeqConfig, *, labelled: bool = True) -> list[Seq2SeqExample]:
    """Return the examples of a table (`tables.read_rows`), of parallel files of lines, or of another kind of file.

    An example may have several targets: a list in the target's column, `task.reference_columns`, or further files.
    Lists may have different lengths, since all metrics of generated texts allow it; columns and files hold a target for
    each example.

    Args:
        path: a table; text files, `SOURCES,TARGETS` or `SOURCES,TARGETS,TARGETS,...`, whose lines belong together; or,
            without targets, a text file (`.txt`) of sources. A SQuAD file (`.json`) holds questions to generate: the
            source is an answer, `[SEP]` and the context (Dong et al. 2019, section 3.3), and articles are groups. A
            message catalogue (`.po`, `.mo`) holds translations (`catalogues.read_catalogue`).
        config: the settings of the task, which name the columns.
        labelled: whether targets are read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, a source or a target is empty, a list of targets holds none or something else,
            the files have different numbers of lines, or there are no examples. The message names file and line.
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
    elif path.lower().endswith((".po", ".mo")):
        examples = read_catalogue(path, labelled=labelled)
    elif path.lower().endswith(".json"):
        examples = questions_as_targets(read_questions(path), labelled=labelled)
    else:
        examples = pairs_of_rows(tables.read_rows(path), config, labelled=labelled)
    if not examples:
        raise ValueError(f"`path` must name a file with at least one example. Received: {path!r}, which has none")
    return examples


def pairs_of_rows(rows: tables.TableRows, config: Seq2SeqConfig, *, labelled: bool = True) -> list[Seq2SeqExample]:
    """Return the examples of a table's rows. Arguments and errors are those of `read_sources_and_targets`.

    With `task.turns_column`, each turn of a row's dialogue but the first is the target of the turns before it. A row
    without this column may have a source and a target instead.
    """
    group, turns_column = config.group_column, config.turns_column
    examples = []
    for number, (source, row) in enumerate(rows):
        if turns_column is not None and (turns_column in row or config.source_column not in row):
            name = str(number) if group is None else tables.text_field(row, group, source)
            examples += _of_turns(row, turns_column, source, name, labelled=labelled)
            continue
        targets = _targets(row, config, source) if labelled else []
        examples.append(
            Seq2SeqExample(
                text=tables.text_field(row, config.source_column, source),
                target=targets[0] if targets else None,
                other_targets=tuple(targets[1:]),
                group=None if group is None else tables.text_field(row, group, source),
                source=source,
            )
        )
    return examples


def questions_as_targets(questions: Sequence[QuestionExample], *, labelled: bool = True) -> list[Seq2SeqExample]:
    """Return the questions that have an answer, as targets of their first answer, `[SEP]` and the context."""
    return [
        Seq2SeqExample(
            text=f"{question.answers[0][0].strip()} {SEP} {question.context.strip()}",
            target=question.question.strip() if labelled else None,
            group=question.group,
            source=question.source,
        )
        for question in questions
        if question.answers
    ]


def _of_turns(row: dict[str, Any], column: str, source: str, group: str, *, labelled: bool) -> list[Seq2SeqExample]:
    """Return an example for each turn of a dialogue but the first; without labels, one for the turn that is to come."""
    turns = tables.field(row, column, source)
    least = 2 if labelled else 1
    if (
        not isinstance(turns, list)
        or len(turns) < least
        or not all(isinstance(text, str) and text.strip() for text in turns)
    ):
        raise ValueError(
            f"{source}, column {column!r}: must be a list of at least {least} turns, which are texts and not empty. "
            f"Received: {turns!r:.200}"
        )
    turns = [text.strip() for text in turns]
    counts = range(1, len(turns)) if labelled else [len(turns)]
    return [
        Seq2SeqExample(f" {SEP} ".join(turns[:count]), turns[count] if labelled else None, group, source=source)
        for count in counts
    ]


def _targets(row: dict[str, Any], config: Seq2SeqConfig, source: str) -> list[str]:
    """Return the targets of a row, at least one: those of its target's column, then those of the further columns."""
    column = config.target_column
    value = tables.field(row, column, source)
    if isinstance(value, list) and not (value and all(isinstance(text, str) and text.strip() for text in value)):
        raise ValueError(
            f"{source}, column {column!r}: must be a text, or a list of at least one text, none of them empty. "
            f"Received: {value!r:.200}"
        )
    texts = [text.strip() for text in value] if isinstance(value, list) else [tables.text_field(row, column, source)]
    return texts + [tables.text_field(row, other, source) for other in config.reference_columns]


def _of_lines(paths: list[str], path: str, *, labelled: bool) -> list[Seq2SeqExample]:
    """Return the examples of a text file of sources, and of files of their targets."""
    columns = []
    for name in paths if labelled else paths[:1]:
        if not files.exists(name):
            raise FileNotFoundError(f"`path` must name files that exist. Received: {path!r}, without {name!r}")
        lines = [line.strip() for line in files.iterate_lines(name)]
        empty = next((number for number, line in enumerate(lines, 1) if not line), None)
        if empty is not None:
            raise ValueError(f"{name}, line {empty}: must not be empty. Received: an empty line")
        columns.append(lines)
    if len({len(lines) for lines in columns}) > 1:
        numbers = [f"{len(lines)} in {name}" for name, lines in zip(paths, columns, strict=False)]
        raise ValueError(f"`path` must name files with as many lines. Received: numbers of lines {', '.join(numbers)}")
    return [
        Seq2SeqExample(
            text=texts[0],
            target=texts[1] if labelled else None,
            other_targets=tuple(texts[2:]),
            source=f"{paths[0]}, line {number}",
        )
        for number, texts in enumerate(zip(*columns, strict=True), 1)
    ]
