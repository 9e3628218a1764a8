"""The reader of contexts and choices, from tables (SWAG), from the files of RACE, and from those of SQuAD."""

import os
from collections.abc import Sequence
from typing import Any

from bert_tf.configs.tasks import MultipleChoiceConfig
from bert_tf.examples import ChoiceExample, QuestionExample
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from bert_tf.utils.file_patterns import matching_files
from data_pipelines.corpora.sentences import split_sentences
from data_pipelines.finetuning import tables
from data_pipelines.finetuning.question_answering import read_questions

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def read_choices(path: str, config: MultipleChoiceConfig, *, labelled: bool = True) -> list[ChoiceExample]:
    """Return the examples of a table (`tables.read_rows`), of a file of RACE (`.txt`), or of all those in a folder.

    A file of RACE is a JSON object with an `article`, its `questions`, the `options` of each question and their
    `answers`, which are letters. JSON lines may hold such objects too. The questions of an article are a group.

    A SQuAD file (`.json`) asks which sentence holds the answer: the question is the context, and the sentences of its
    paragraph are the choices. Of more than `task.max_choices`, so many around the right one are, whose place among them
    varies. Articles are groups. Paragraphs of one sentence are left out.

    Args:
        path: a local or remote file, a folder, or a data set as `tfds:NAME[SPLIT]`.
        config: the settings of the task, which name the columns.
        labelled: whether labels are read. If not, they need not exist.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, a context or a choice is empty, an example has fewer than two choices or, with
            `task.equal_choices`, another number than `task.max_choices`, a label is not that of a choice, or there are
            no examples. The message names file, line and column.
    """
    if tables.suffix_of(path) == ".json":
        examples = _of_questions(read_questions(path, labelled=labelled), config, labelled=labelled)
    else:
        examples = choices_of_rows(_rows(path), config, labelled=labelled)
    if not examples:
        raise ValueError(f"`path` must name a file with at least one example. Received: {path!r}, which has none")
    return examples


def _rows(path: str) -> tables.TableRows:
    if path.startswith(tables.TFDS):
        return tables.read_rows(path)
    if files.is_folder(path):
        with renamed(patterns="path"):
            names = matching_files(os.path.join(path, "**", "*.txt"))
        return [(name, files.read_json(name)) for name in names]
    return [(path, files.read_json(path))] if tables.suffix_of(path) == ".txt" else tables.read_rows(path)


def choices_of_rows(
    rows: tables.TableRows, config: MultipleChoiceConfig, *, labelled: bool = True
) -> list[ChoiceExample]:
    """Return the examples of a table's rows. Arguments and errors are those of `read_choices`."""
    examples = []
    for source, row in rows:
        if not isinstance(row, dict):
            raise ValueError(f"{source}: must be a JSON object. Received: {row!r:.80}")
        if "article" in row and "questions" in row:
            examples += _of_article(row, config, source, labelled=labelled)
        else:
            examples.append(_of_row(row, config, source, labelled=labelled))
    return examples


def _of_questions(
    questions: Sequence[QuestionExample], config: MultipleChoiceConfig, *, labelled: bool
) -> list[ChoiceExample]:
    """Return an example for each question, whose choices are the sentences of its paragraph.

    Questions with one sentence, and those whose first answer is not within one, are left out.
    """
    examples: list[ChoiceExample] = []
    for question in questions:
        sentences = split_sentences(question.context)
        label = _sentence_of(question, sentences) if labelled else None
        if label is not None:
            first = max(0, min(label - len(examples) % config.max_choices, len(sentences) - config.max_choices))
            sentences, label = sentences[first : first + config.max_choices], label - first
        if len(sentences) > 1 and (label is not None or not labelled):
            choices = _checked(sentences, config, question.source)
            group, source = question.group, question.source
            examples.append(ChoiceExample(question.question.strip(), choices, label, group=group, source=source))
    return examples


def _sentence_of(question: QuestionExample, sentences: Sequence[str]) -> int | None:
    """Return the index of the sentence that holds the question's first answer; None for none."""
    if not question.answers:
        return None
    text, start = question.answers[0]
    end = 0
    for index, sentence in enumerate(sentences):
        begin = question.context.index(sentence, end)
        end = begin + len(sentence)
        if begin <= start and start + len(text) <= end:
            return index
    return None


def _of_row(row: dict[str, Any], config: MultipleChoiceConfig, source: str, *, labelled: bool) -> ChoiceExample:
    column, group = config.question_column, config.group_column
    has_question = column in row or column != MultipleChoiceConfig.question_column
    choices = _choices(row, config, source)
    return ChoiceExample(
        context=tables.text_field(row, config.context_column, source),
        choices=choices,
        label=_label(row, config.label_column, choices, source) if labelled else None,
        question=tables.text_field(row, column, source, may_be_empty=True) if has_question else "",
        group=None if group is None else tables.text_field(row, group, source),
        source=source,
    )


def _choices(row: dict[str, Any], config: MultipleChoiceConfig, source: str) -> tuple[str, ...]:
    """Return the choices of a row: those of its list, or of its columns, where empty ones at the end are none."""
    column = config.choices_column
    if config.choice_columns and column not in row:
        texts = [tables.text_field(row, each, source, may_be_empty=True) for each in config.choice_columns]
        while texts and not texts[-1]:
            texts.pop()
        return _checked(texts, config, f"{source}, columns {', '.join(config.choice_columns)}")
    return _checked(tables.field(row, column, source), config, f"{source}, column {column!r}")


def _checked(choices: Any, config: MultipleChoiceConfig, where: str) -> tuple[str, ...]:
    if not isinstance(choices, list) or not all(isinstance(text, str) and text.strip() for text in choices):
        raise ValueError(f"{where}: must be a list of texts, none of them empty. Received: {choices!r:.200}")
    if config.equal_choices and len(choices) != config.max_choices:
        raise ValueError(
            f"{where}: must be {config.max_choices} choices, as `task.equal_choices` says. Received: {len(choices)}"
        )
    if len(choices) < 2:
        raise ValueError(f"{where}: must be at least two choices. Received: {choices!r:.200}")
    return tuple(text.strip() for text in choices)


def _label(row: dict[str, Any], column: str, choices: Sequence[str], source: str) -> int:
    """Return the index of the right choice, which a file may give as a number, counted from 0, or as a letter."""
    value = tables.field(row, column, source)
    index = None
    if isinstance(value, str):
        text = value.strip()
        index = int(text) if text.isdecimal() else _LETTERS.find(text) if len(text) == 1 else None
    elif isinstance(value, int) and not isinstance(value, bool):
        index = value
    if index is None or not 0 <= index < len(choices):
        raise ValueError(
            f"{source}, column {column!r}: must be the index of a choice, from 0 to {len(choices) - 1}, or its letter, "
            f"A to {_LETTERS[min(len(choices), 26) - 1]}. Received: {value!r}"
        )
    return index


def _of_article(
    row: dict[str, Any], config: MultipleChoiceConfig, source: str, *, labelled: bool
) -> list[ChoiceExample]:
    """Return an example for each question of an article."""
    columns = ("questions", "options", *(["answers"] if labelled else []))
    lists = [tables.field(row, column, source) for column in columns]
    if not all(isinstance(values, list) and len(values) == len(lists[0]) for values in lists):
        raise ValueError(
            f"{source}: must have lists of the same length in {', '.join(columns)}. "
            f"Received: {', '.join(str(len(values)) if isinstance(values, list) else repr(values) for values in lists)}"
        )
    context = tables.text_field(row, "article", source)
    examples = []
    for number, question in enumerate(lists[0]):
        where = f"{source}, questions[{number}]"
        choices = _checked(lists[1][number], config, f"{source}, options[{number}]")
        examples.append(
            ChoiceExample(
                context=context,
                choices=choices,
                label=_label({"answers": lists[2][number]}, "answers", choices, where) if labelled else None,
                question=tables.text_field({"questions": question}, "questions", where, may_be_empty=True),
                group=str(row.get("id", source)),
                source=where,
            )
        )
    return examples
