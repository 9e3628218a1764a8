"""The reader of queries and passages, from tables and from the questions and contexts of SQuAD files."""

from collections.abc import Sequence
from typing import Any

from bert_tf.configs.tasks import RetrievalConfig
from bert_tf.examples import QuestionExample, RetrievalExample
from data_pipelines.finetuning import tables
from data_pipelines.finetuning.question_answering import read_questions


def read_pairs(path: str, config: RetrievalConfig) -> list[RetrievalExample]:
    """Return the examples of a table (`tables.read_rows`), or of a SQuAD file (`.json`).

    In a SQuAD file, the question is the query and its context is the passage; each article is a group.

    Args:
        path: a local or remote file, or a data set as `tfds:NAME[SPLIT]`.
        config: the settings of the task, which name the columns.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, a field is empty, negatives are not texts or hold the passage itself, or there
            are no rows. The message names file, line and column.
    """
    if tables.suffix_of(path) == ".json" and not path.startswith(tables.TFDS):
        return pairs_of_questions(read_questions(path, labelled=False), config, path)
    examples = pairs_of_rows(tables.read_rows(path), config)
    if not examples:
        raise ValueError(f"`path` must name a file with at least one example. Received: {path!r}, which has no rows")
    return examples


def pairs_of_questions(
    questions: Sequence[QuestionExample], config: RetrievalConfig, path: str
) -> list[RetrievalExample]:
    """Return the questions as queries and their contexts as passages.

    Args:
        questions: the questions; their groups are kept.
        config: the settings of the task.
        path: the source of the questions, for the message.

    Raises:
        ValueError: the settings ask for negatives, which questions do not have.
    """
    if config.num_negatives:
        raise ValueError(
            "`task.num_negatives` must be 0 for `path`, because a SQuAD file has no negatives. "
            f"Received: {config.num_negatives} for {path!r}"
        )
    return [
        RetrievalExample(
            question.question.strip(), question.context.strip(), group=question.group, source=question.source
        )
        for question in questions
    ]


def pairs_of_rows(rows: tables.TableRows, config: RetrievalConfig) -> list[RetrievalExample]:
    """Return the examples of a table's rows. Arguments and errors are those of `read_pairs`."""
    examples = []
    for source, row in rows:
        passage = tables.text_field(row, config.passage_column, source)
        examples.append(
            RetrievalExample(
                query=tables.text_field(row, config.query_column, source),
                passage=passage,
                negatives=_negatives(row, config, passage, source) if config.num_negatives else (),
                group=None if config.group_column is None else tables.text_field(row, config.group_column, source),
                source=source,
            )
        )
    return examples


def _negatives(row: dict[str, Any], config: RetrievalConfig, passage: str, source: str) -> tuple[str, ...]:
    """Return the first `num_negatives` passages of the column of negatives. An empty field has none."""
    column = config.negatives_column
    value = tables.field(row, column, source)
    texts = value if isinstance(value, list) else [tables.text_field(row, column, source, may_be_empty=True)]
    if isinstance(value, list) and not all(isinstance(text, str) and text.strip() for text in value):
        raise ValueError(f"{source}, column {column!r}: must be a list of texts. Received: {value!r:.200}")
    found = tuple(text.strip() for text in texts if text.strip())[: config.num_negatives]
    if passage in found:
        raise ValueError(f"{source}, column {column!r}: must not hold the passage itself. Received: {passage[:80]!r}")
    return found
