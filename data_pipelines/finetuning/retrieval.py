"""Queries and passages: tables, and the questions and contexts of SQuAD files."""

from typing import Any

from bert_tf.configs.tasks import RetrievalConfig
from bert_tf.examples import RetrievalExample
from data_pipelines.finetuning import tables
from data_pipelines.finetuning.question_answering import read_questions


def read_pairs(path: str, config: RetrievalConfig, flag: str) -> list[RetrievalExample]:
    """The examples of a table (`tables.read_rows`), or of a SQuAD file (`.json`).

    Of a SQuAD file the question is the query and its context the passage; articles are groups.

    Args:
        path: a file or a data set.
        config: names the columns.
        flag: the flag the path came from, for messages.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a missing column, an empty field, negatives that are no texts, or among them the passage itself, or
            no rows; the message names file, line and column.
    """
    if tables.suffix_of(path) == ".json" and not path.startswith(tables.TFDS):
        if config.num_negatives:
            raise ValueError(
                f"{flag}: a SQuAD file has no negatives: `task.num_negatives` must be 0. "
                f"Received: {config.num_negatives} for {path!r}"
            )
        return [
            RetrievalExample(
                question.question.strip(), question.context.strip(), group=question.group, source=question.source
            )
            for question in read_questions(path, flag, labelled=False)
        ]
    examples = []
    for source, row in tables.read_rows(path, flag):
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
    if not examples:
        raise ValueError(f"{flag} must name a file with at least one example; it has no rows. Received: {path!r}")
    return examples


def _negatives(row: dict[str, Any], config: RetrievalConfig, passage: str, source: str) -> tuple[str, ...]:
    """The first `num_negatives`; an empty field is none."""
    column = config.negatives_column
    value = tables.field(row, column, source)
    texts = value if isinstance(value, list) else [tables.text_field(row, column, source, may_be_empty=True)]
    if isinstance(value, list) and not all(isinstance(text, str) and text.strip() for text in value):
        raise ValueError(f"{source}, column {column!r}: must be a list of texts. Received: {value!r:.200}")
    found = tuple(text.strip() for text in texts if text.strip())[: config.num_negatives]
    if passage in found:
        raise ValueError(f"{source}, column {column!r}: must not hold the passage itself. Received: {passage[:80]!r}")
    return found
