"""Labelled examples that a program holds, in the forms that people have them in.

These are columns (a tuple or a dictionary), rows (dictionaries or tuples), tables of pandas and polars, data sets of
`tf.data` and of Hugging Face, and example objects (`bert_tf.examples`). All become rows, which the readers of files
read, so that the same examples in memory and in a file are equal.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

from bert_tf.configs.tasks import (
    AnyTaskConfig,
    MultiLabelConfig,
    MultipleChoiceConfig,
    QuestionAnsweringConfig,
    RerankingConfig,
    RetrievalConfig,
    Seq2SeqConfig,
    TaggingConfig,
    TextTaskConfig,
)
from bert_tf.examples import (
    ChoiceExample,
    Examples,
    QuestionExample,
    RerankingExample,
    RetrievalExample,
    Seq2SeqExample,
    TaggedExample,
    TextExample,
)
from data_pipelines.finetuning import seq2seq
from data_pipelines.finetuning.multiple_choice import choices_of_rows
from data_pipelines.finetuning.question_answering import questions_of_rows
from data_pipelines.finetuning.reranking import rankings_of_questions, rankings_of_rows
from data_pipelines.finetuning.retrieval import pairs_of_questions, pairs_of_rows
from data_pipelines.finetuning.tables import plain
from data_pipelines.finetuning.tagging import sentences_of_rows
from data_pipelines.finetuning.texts import texts_of_rows

MEMORY = "data in memory"
"""The `path` of examples that come from no file, for messages and for the description of a run."""
PAIR_COLUMN = "text_pair"
"""The column of the second texts of pairs where the configuration names none."""

Items = list[tuple[str, Any]]
"""Examples before they are read, each with its source: a dictionary of fields, a tuple, or an example object."""

_EXAMPLES = (
    *(TextExample, TaggedExample, QuestionExample, RerankingExample, RetrievalExample, Seq2SeqExample),
    ChoiceExample,
)


def items_of(name: str, data: Any, config: AnyTaskConfig) -> Items:
    """Return the examples of `data`, which are not read yet.

    Args:
        name: the argument that holds the data; messages call the examples `name[0]`, `name[1]` and so on.
        data: a tuple of columns, such as `(texts, labels)` or `((texts, pairs), labels)`; a dictionary of columns; or
            any table or iterable of rows. A row is a dictionary, a tuple such as `(text, label)`, or an example object.
            For questions also the dictionary of a SQuAD file.
        config: the configuration of the task.

    Raises:
        ValueError: `data` is none of these, is empty, or its columns are of different lengths.
    """
    if isinstance(data, str | bytes | Set) or not (isinstance(data, Iterable) or hasattr(data, "to_dicts")):
        raise ValueError(
            f"`{name}` must be a file, columns such as (texts, labels), or rows. "
            f"Received: a {type(data).__name__}, {data!r:.100}"
        )
    if config.kind not in _KINDS:
        raise ValueError(f"`{name}` must be a file for the task {config.kind!r}. Received: a {type(data).__name__}")
    if isinstance(data, Mapping) and data and all(hasattr(part, "features") for part in data.values()):
        raise ValueError(f"`{name}` must be one data set of {', '.join(map(repr, data))}. Received: all of them")
    rows: Iterable[Any]
    if isinstance(data, tuple) and data and not isinstance(data[0], (Mapping, *_EXAMPLES)):
        rows = _rows_of_columns(name, data, config)
    elif isinstance(data, Mapping):
        takes_questions = isinstance(config, QuestionAnsweringConfig | RetrievalConfig | RerankingConfig)
        questions = takes_questions and isinstance(data.get("data"), list)
        rows = data["data"] if questions else _rows_of_named_columns(name, data)
    elif hasattr(data, "to_dicts"):  # polars
        rows = data.to_dicts()
    elif hasattr(data, "columns") and hasattr(data, "to_dict"):  # pandas
        rows = data.to_dict("records")
    elif hasattr(data, "as_numpy_iterator"):  # tf.data
        rows = data.as_numpy_iterator()
    else:
        rows = data
    names_of = _class_names(data)
    items = [(f"{name}[{number}]", _item(f"{name}[{number}]", row, names_of)) for number, row in enumerate(rows)]
    if not items:
        raise ValueError(f"`{name}` must have at least one example. Received: none, in a {type(data).__name__}")
    return items


def with_pair_column(config: AnyTaskConfig, items: Items) -> AnyTaskConfig:
    """Return the configuration, with a column for the second texts if it names none and the first item is a pair."""
    if not isinstance(config, TextTaskConfig) or config.text_pair_column is not None or not items:
        return config
    first = items[0][1]
    is_pair = isinstance(first, TextExample) and first.text_pair is not None
    if not is_pair and not (isinstance(first, tuple) and first and isinstance(first[0], list | tuple)):
        return config
    return config.replace(text_pair_column=PAIR_COLUMN)


def examples_of(items: Items, config: AnyTaskConfig, *, strict: bool = False) -> Examples:
    """Return the examples of items, with their labels.

    Args:
        items: the result of `items_of`.
        config: the configuration of the task, which names the fields.
        strict: see `question_answering.read_questions`.

    Raises:
        ValueError: an example has not the fields of the task, a text is missing, or a label is of the wrong kind. The
            message names the example.
    """
    kind = _KINDS[config.kind]
    rows = [(source, _row(source, item, config, kind)) for source, item in items]
    examples = kind.read(rows, config, strict)
    if len(examples) == len(items):  # else the items are articles, with any number of questions
        examples = [_as_given(example, item) for example, (_, item) in zip(examples, items, strict=True)]
    return Examples(examples, MEMORY)


def _read_questions(rows: Items, config: Any, strict: bool) -> list[Any]:
    return questions_of_rows(rows, path=MEMORY, strict=strict)


def _read_pairs(rows: Items, config: RetrievalConfig, strict: bool) -> list[Any]:
    if _are_questions(rows, config.query_column):
        return pairs_of_questions(questions_of_rows(rows, path=MEMORY, labelled=False), config, MEMORY)
    return pairs_of_rows(rows, config)


def _read_rankings(rows: Items, config: RerankingConfig, strict: bool) -> list[Any]:
    if _are_questions(rows, config.query_column):
        return rankings_of_questions(questions_of_rows(rows, path=MEMORY, labelled=False), config)
    return rankings_of_rows(rows, config)


def _are_questions(rows: Items, query_column: str) -> bool:
    """Return whether rows for queries are those of SQuAD, articles or single questions."""
    return any("question" in row or "paragraphs" in row for _, row in rows[:1]) and query_column != "question"


def _read_sources_and_targets(rows: Items, config: Any, strict: bool) -> list[Any]:
    return seq2seq.pairs_of_rows(rows, config)


def _read_choices(rows: Items, config: Any, strict: bool) -> list[Any]:
    return choices_of_rows(rows, config)


def _read_texts(rows: Items, config: Any, strict: bool) -> list[Any]:
    return texts_of_rows(rows, config)


def _read_tagged(rows: Items, config: Any, strict: bool) -> list[Any]:
    return sentences_of_rows(rows, config)


@dataclasses.dataclass(frozen=True)
class _Kind:
    """The forms of one kind of task.

    Attributes:
        example: the class of its example objects.
        read: the reader of its rows.
        columns: what the columns of a tuple hold, in their order.
        num_columns: the smallest number of these columns.
    """

    example: type
    read: Callable[[Items, Any, bool], list[Any]]
    columns: tuple[str, ...] = ("texts", "labels")
    num_columns: int = 2


_KINDS = {
    "classification": _Kind(TextExample, _read_texts),
    "multi_label": _Kind(TextExample, _read_texts),
    "regression": _Kind(TextExample, _read_texts),
    "tagging": _Kind(TaggedExample, _read_tagged, ("lists of words", "lists of tags")),
    "question_answering": _Kind(QuestionExample, _read_questions, ("questions", "contexts", "answers"), 3),
    "retrieval": _Kind(RetrievalExample, _read_pairs, ("queries", "passages", "negatives")),
    "reranking": _Kind(RerankingExample, _read_rankings, ("queries", "lists of passages", "lists of relevances"), 3),
    "seq2seq": _Kind(Seq2SeqExample, _read_sources_and_targets, ("sources", "targets")),
    "multiple_choice": _Kind(ChoiceExample, _read_choices, ("contexts", "choices", "labels", "questions"), 3),
}


def _rows_of_columns(name: str, columns: tuple[Any, ...], config: AnyTaskConfig) -> list[tuple[Any, ...]]:
    """Return a tuple for each example of a tuple of columns."""
    kind = _KINDS[config.kind]
    if not kind.num_columns <= len(columns) <= len(kind.columns):
        raise ValueError(
            f"`{name}` must be a tuple of {', '.join(kind.columns)}, or an iterable of rows. "
            f"Received: {len(columns)} columns"
        )
    first = columns[0]
    if isinstance(config, TextTaskConfig) and isinstance(first, tuple) and len(first) == 2 and not _is_text(first[0]):
        pairs = [_column(name, texts) for texts in first]
        _check_lengths(name, ("first texts", "second texts"), pairs)
        columns = (list(zip(*pairs, strict=True)), *columns[1:])
    lists = [_column(name, column) for column in columns]
    if isinstance(config, MultiLabelConfig):
        lists[1] = [plain(labels) for labels in lists[1]]
        if any(map(_has_numbers, lists[1])):
            lists[1] = _labels_of_indicators(name, lists[1], config)
    _check_lengths(name, kind.columns, lists)
    return list(zip(*lists, strict=True))


def _column(name: str, values: Any) -> list[Any]:
    """Return the values of a column: a list, tuple, array, eager tensor, or column of a table."""
    if isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable):
        raise ValueError(f"`{name}` must have columns that are lists or arrays. Received: {values!r:.100}")
    return list(values.numpy() if hasattr(values, "numpy") else values)


def _check_lengths(name: str, words: Sequence[str], columns: Sequence[Sequence[Any]]) -> None:
    if len({len(column) for column in columns}) > 1:
        received = ", ".join(f"{len(column)} {word}" for word, column in zip(words, columns, strict=False))
        raise ValueError(f"`{name}` must have columns of equal length. Received: {received}")


def _rows_of_named_columns(name: str, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    lists = {column: _column(name, values) for column, values in columns.items()}
    _check_lengths(name, [repr(column) for column in lists], list(lists.values()))
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _labels_of_indicators(name: str, rows: Sequence[Any], config: MultiLabelConfig) -> list[list[str]]:
    """Return the labels of rows of zeros and ones, [examples, labels]."""
    count = len(config.labels)
    for number, row in enumerate(rows):
        if not count or not isinstance(row, list) or len(row) != count or not all(value in (0, 1) for value in row):
            raise ValueError(
                f"{name}[{number}]: must have names of labels, or 0 or 1 for each of the {count} `task.labels`. "
                f"Received: {row!r:.100}"
            )
    return [[label for label, value in zip(config.labels, row, strict=True) if value] for row in rows]


def _has_numbers(labels: Any) -> bool:
    """Return whether a set of labels holds numbers, which may count the labels or be zeros and ones."""
    return isinstance(labels, list) and any(isinstance(label, int | float) for label in labels)


def _class_names(data: Any) -> dict[str, Callable[[int], str]]:
    """Return the function that names the classes of each column, for a data set of Hugging Face."""
    features = getattr(data, "features", None)
    if not isinstance(features, Mapping):
        return {}
    classes: dict[str, Any] = {column: getattr(feature, "feature", feature) for column, feature in features.items()}
    return {column: feature.int2str for column, feature in classes.items() if hasattr(feature, "int2str")}


def _named(value: Any, name_of: Callable[[int], str]) -> Any:
    """Return the name of a class, or of each class of a list. A negative number stands for no label."""
    if isinstance(value, list):
        return [_named(item, name_of) for item in value]
    return (name_of(value) if value >= 0 else "") if isinstance(value, int) else value


def _item(source: str, row: Any, names_of: Mapping[str, Callable[[int], str]]) -> Any:
    """Return a row in plain Python types."""
    if isinstance(row, _EXAMPLES):
        return row
    try:
        if isinstance(row, Mapping):
            values = plain(row)
            return values | {name: _named(values[name], of) for name, of in names_of.items() if name in values}
        if isinstance(row, tuple):
            return tuple(map(plain, row))
    except UnicodeDecodeError as error:
        raise ValueError(f"{source}: must be text in UTF-8 ({error.reason}). Received: {row!r:.100}") from None
    raise ValueError(
        f"{source}: must be a dictionary, a tuple or an example of `bert_tf.examples`. "
        f"Received: a {type(row).__name__}, {row!r:.100}"
    )


def _row(source: str, item: Any, config: AnyTaskConfig, kind: _Kind) -> dict[str, Any]:
    """Return the fields of an item, by the columns that the configuration names."""
    if isinstance(item, _EXAMPLES):
        if not isinstance(item, kind.example):
            raise ValueError(f"{source}: must be a {kind.example.__name__}. Received: a {type(item).__name__}")
        item = _fields_of_example(item)
    row = item if isinstance(item, dict) else _fields_of_tuple(source, item, config, kind)
    if isinstance(config, MultiLabelConfig) and _has_numbers(row.get(config.label_column)):
        raise ValueError(
            f"{source}: must name its labels; zeros and ones are a column of (texts, labels). "
            f"Received: {row[config.label_column]!r:.100}"
        )
    return row


def _fields_of_example(example: Any) -> Any:
    """Return an example object as a tuple or a dictionary, which are checked as all others."""
    if isinstance(example, TextExample):
        label = list(example.label) if isinstance(example.label, tuple) else example.label
        return (example.text if example.text_pair is None else (example.text, example.text_pair), label)
    if isinstance(example, TaggedExample):
        return (example.words, None if example.tags is None else list(example.tags))
    if isinstance(example, RetrievalExample):
        return (example.query, example.passage, *([list(example.negatives)] if example.negatives else []))
    if isinstance(example, RerankingExample):
        return (example.query, list(example.passages), None if example.relevances is None else list(example.relevances))
    if isinstance(example, Seq2SeqExample):
        return (example.text, list(example.references) if example.other_targets else example.target)
    if isinstance(example, ChoiceExample):
        return (example.context, list(example.choices), example.label, example.question)
    answers = [{"text": text, "answer_start": start} for text, start in example.answers] if example.labelled else None
    return {
        "question": example.question,
        "context": example.context,
        "answers": answers,
        "title": example.group,
        **({"id": example.question_id} if example.question_id else {}),
    }


def _fields_of_tuple(source: str, values: tuple[Any, ...], config: AnyTaskConfig, kind: _Kind) -> dict[str, Any]:
    """Return the fields of a row that is given as a tuple."""
    if not kind.num_columns <= len(values) <= len(kind.columns):
        raise ValueError(
            f"{source}: must be a tuple of one example's {', '.join(kind.columns)}. Received: {values!r:.100}"
        )
    if isinstance(config, TextTaskConfig):
        text, label = values
        if not isinstance(text, list | tuple):
            return {config.text_column: text, config.label_column: label}
        if len(text) != 2 or config.text_pair_column is None:
            rule = "a single text, as the first example is" if config.text_pair_column is None else "a pair of texts"
            raise ValueError(f"{source}: must be {rule}. Received: {text!r:.100}")
        return {config.text_column: text[0], config.text_pair_column: text[1], config.label_column: label}
    if isinstance(config, TaggingConfig):
        return dict(zip((config.words_field, config.tags_field), values, strict=True))
    if isinstance(config, RetrievalConfig):
        if len(values) == 3 and not config.num_negatives:
            raise ValueError(
                f"{source}: must have no negatives, because `task.num_negatives` is 0. Received: {values[2]!r:.100}"
            )
        return dict(zip((config.query_column, config.passage_column, config.negatives_column), values, strict=False))
    if isinstance(config, RerankingConfig):
        return dict(zip((config.query_column, config.passage_column, config.label_column), values, strict=True))
    if isinstance(config, Seq2SeqConfig):
        return dict(zip((config.source_column, config.target_column), values, strict=True))
    if isinstance(config, MultipleChoiceConfig):
        names = (config.context_column, config.choices_column, config.label_column, config.question_column)
        return dict(zip(names, values, strict=False))
    return dict(zip(("question", "context", "answers"), values, strict=True))


def _as_given(example: Any, item: Any) -> Any:
    """Return what was read, with what a row does not hold of an example object: its group, and the offsets of words."""
    if isinstance(item, TaggedExample):
        return dataclasses.replace(item, tags=example.tags, source=example.source)
    return dataclasses.replace(example, group=item.group) if isinstance(item, _EXAMPLES) else example


def _is_text(value: Any) -> bool:
    return isinstance(value, str | bytes)
