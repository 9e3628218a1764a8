"""The reader of queries with the passages to rank for them, from tables and from the questions of SQuAD files."""

import dataclasses
import math
import random
from collections.abc import Sequence
from typing import Any

from bert_tf.configs.tasks import RerankingConfig
from bert_tf.examples import QuestionExample, RerankingExample
from data_pipelines.finetuning import tables
from data_pipelines.finetuning.question_answering import read_questions


def read_rankings(path: str, config: RerankingConfig, *, labelled: bool = True) -> list[RerankingExample]:
    """Return one example for each query of a table (`tables.read_rows`), or of a SQuAD file (`.json`).

    A row of a table is a query with a passage and its relevance (`label_column`), or lists of both; or a query with a
    passage that answers it, or a list of these, and the passages that do not (`negatives_column`), as `bert-tf
    mine-negatives` writes them. All rows of a query become one example.

    In a SQuAD file, the question is the query, and its paragraph is relevant. `group_size` less one of the file's other
    paragraphs are not: those of the same article first, each part in an order drawn from the question.

    Args:
        path: a local or remote file, or a data set as `tfds:NAME[SPLIT]`.
        config: the settings of the task, which name the columns.
        labelled: whether relevances are read. If not, the passages of `passage_column` and, if there is such a column,
            of `negatives_column` are read without.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, a field is empty, a relevance is not a number of at least 0, a passage of a
            query occurs twice with different relevances, or there are no rows. The message names file, line and column.
    """
    if tables.suffix_of(path) == ".json" and not path.startswith(tables.TFDS):
        examples = rankings_of_questions(read_questions(path, labelled=False), config)
    else:
        examples = rankings_of_rows(tables.read_rows(path), config, labelled=labelled)
        if not examples:
            raise ValueError(
                f"`path` must name a file with at least one example. Received: {path!r}, which has no rows"
            )
    return examples if labelled else [example.without_label() for example in examples]


def rankings_of_questions(questions: Sequence[QuestionExample], config: RerankingConfig) -> list[RerankingExample]:
    """Return the questions as queries with their contexts, and with other contexts as passages that are not relevant.

    Args:
        questions: the questions; their groups, the articles, are kept.
        config: the settings of the task.
    """
    contexts: dict[str, set[str | None]] = {}
    answered: dict[str, dict[str, QuestionExample]] = {}
    for question in questions:
        contexts.setdefault(question.context.strip(), set()).add(question.group)
        answered.setdefault(question.question.strip(), {}).setdefault(question.context.strip(), question)
    examples = []
    for query, own in answered.items():
        first = next(iter(own.values()))
        others = [context for context in contexts if context not in own]
        random.Random(query).shuffle(others)
        others.sort(key=lambda context: first.group not in contexts[context])
        negatives = others[: config.group_size - 1]
        relevances = (*[1.0] * len(own), *[0.0] * len(negatives))
        examples.append(RerankingExample(query, (*own, *negatives), relevances, first.group, first.source))
    return examples


@dataclasses.dataclass
class _Query:
    """The rows of a query, gathered."""

    source: str
    group: str | None
    passages: dict[str, tuple[float, str]] = dataclasses.field(default_factory=dict)
    """Each passage's relevance, and the source of its row."""

    def add(self, passage: str, relevance: float, source: str) -> None:
        before = self.passages.setdefault(passage, (relevance, source))
        if before[0] != relevance:
            raise ValueError(
                f"{source}: a passage must have one relevance for its query. Received: {relevance:g} after "
                f"{before[0]:g} ({before[1]}), for {passage[:80]!r}"
            )


def rankings_of_rows(
    rows: tables.TableRows, config: RerankingConfig, *, labelled: bool = True
) -> list[RerankingExample]:
    """Return the examples of a table's rows. Arguments and errors are those of `read_rankings`."""
    queries: dict[str, _Query] = {}
    for source, row in rows:
        query = tables.text_field(row, config.query_column, source)
        group = None if config.group_column is None else tables.text_field(row, config.group_column, source)
        own = queries.setdefault(query, _Query(source, group))
        if group != own.group:
            raise ValueError(
                f"{source}, column {config.group_column!r}: must be {own.group!r} as in {own.source}, for the same "
                f"query. Received: {group!r}"
            )
        positives = _texts(row, config.passage_column, source)
        if not positives:
            raise ValueError(f"{source}, column {config.passage_column!r}: must not be empty. Received: no passage")
        if labelled and config.label_column in row:
            relevances = _relevances(row[config.label_column], len(positives), config.label_column, source)
            for passage, relevance in zip(positives, relevances, strict=True):
                own.add(passage, relevance, source)
            continue
        if labelled and config.negatives_column not in row:
            raise ValueError(
                f"{source}: must have a column {config.label_column!r} or {config.negatives_column!r}. "
                f"Received: columns {', '.join(map(repr, row))}"
            )
        for passage in positives:
            own.add(passage, 1.0, source)
        if config.negatives_column in row:
            for passage in _texts(row, config.negatives_column, source):
                own.add(passage, 0.0, source)
    return [
        RerankingExample(
            query,
            tuple(own.passages),
            tuple(relevance for relevance, _ in own.passages.values()),
            own.group,
            own.source,
        )
        for query, own in queries.items()
    ]


def _texts(row: dict[str, Any], column: str, source: str) -> list[str]:
    """Return the texts of a field: a list, or one text; none for an empty one."""
    value = tables.field(row, column, source)
    if not isinstance(value, list):
        text = tables.text_field(row, column, source, may_be_empty=True)
        return [text] if text else []
    if not all(isinstance(text, str) and text.strip() for text in value):
        raise ValueError(f"{source}, column {column!r}: must be a list of texts. Received: {value!r:.200}")
    return [text.strip() for text in value]


def _relevances(value: Any, count: int, column: str, source: str) -> list[float]:
    """Return the relevances of a row's passages: one number for all, or a list of as many."""
    if not isinstance(value, list):
        return [_number(value, column, source)] * count
    if len(value) != count:
        raise ValueError(
            f"{source}, column {column!r}: must have a relevance for each of {count} passages. Received: {len(value)}"
        )
    return [_number(item, column, source) for item in value]


def _number(value: Any, column: str, source: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise ValueError(
            f"{source}, column {column!r}: must be a relevance, a finite number of at least 0. Received: {value!r:.80}"
        )
    return number
