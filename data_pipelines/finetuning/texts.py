"""The reader of labelled texts and pairs of texts, from tables. A label is a class, a set of labels or a number."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from absl import logging

from bert_tf.configs.tasks import MultiLabelConfig, RegressionConfig, TextTaskConfig
from bert_tf.examples import TextExample
from data_pipelines.finetuning import tables


def read_texts(path: str, config: TextTaskConfig, *, labelled: bool = True) -> list[TextExample]:
    """Return the examples of a table (`tables.read_rows`). Columns that `config` does not name are ignored.

    Args:
        path: a local or remote file, or a data set as `tfds:NAME[SPLIT]`.
        config: the settings of the task, which name the columns. Their class decides the kind of the labels.
        labelled: whether the column of labels is read. If not, it need not exist.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, a field is empty, a label is of the wrong kind, or there are no rows. The
            message names file, line and column.
    """
    skipped: list[str] | None = [] if config.skip_incomplete else None
    examples = texts_of_rows(
        tables.read_rows(path, config.columns, skipped), config, labelled=labelled, skipped=skipped
    )
    if skipped:
        logging.warning("%d rows lack a field and were left out, the first at %s", len(skipped), skipped[0])
    if not examples:
        raise ValueError(f"`path` must name a file with at least one example. Received: {path!r}, which has no rows")
    return examples


def texts_of_rows(
    rows: tables.TableRows, config: TextTaskConfig, *, labelled: bool = True, skipped: list[str] | None = None
) -> list[TextExample]:
    """Return the examples of a table's rows. Arguments and errors are those of `read_texts`.

    The sources of rows with an empty field are added to `skipped`, instead of an error, if it is a list.
    """
    label_of = _label_reader(config)
    pair, group = config.text_pair_column, config.group_column
    if skipped is not None:
        named = [config.text_column, *([pair] if pair else []), *([config.label_column] if labelled else [])]
        rows = _complete(rows, named, skipped)
    return [
        TextExample(
            text=tables.text_field(row, config.text_column, source),
            text_pair=None if pair is None else tables.text_field(row, pair, source),
            label=label_of(row, config.label_column, source) if labelled else None,
            group=None if group is None else tables.text_field(row, group, source),
            source=source,
        )
        for source, row in rows
    ]


def _complete(rows: tables.TableRows, columns: Sequence[str], skipped: list[str]) -> tables.TableRows:
    for source, row in rows:
        if any(not str(row.get(column, "missing")).strip() for column in columns):
            skipped.append(source)
        else:
            yield source, row


def _label_reader(config: TextTaskConfig) -> Callable[[dict[str, Any], str, str], Any]:
    if isinstance(config, RegressionConfig):
        return _number
    listed = tuple(getattr(config, "labels", ()))
    if isinstance(config, MultiLabelConfig):
        return lambda row, column, source: _labels(row, column, source, config.label_separator, listed)
    return lambda row, column, source: tables.label_name(
        tables.field(row, column, source), listed, source=source, column=column
    )


def _labels(row: dict[str, Any], column: str, source: str, separator: str, listed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the labels of a field without repetitions. An empty field has none."""
    value = tables.field(row, column, source)
    if isinstance(value, list):
        names = value
    else:
        text = tables.text_field(row, column, source, may_be_empty=True)
        names = [label.strip() for label in text.split(separator)] if text else []
        if not all(names):
            raise ValueError(
                f"{source}, column {column!r}: must be labels separated by {separator!r}, none of them empty. "
                f"Received: {value!r}"
            )
    return tuple(dict.fromkeys(tables.label_name(name, listed, source=source, column=column) for name in names))


def _number(row: dict[str, Any], column: str, source: str) -> float:
    value = tables.field(row, column, source)
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{source}, column {column!r}: must be a finite number. Received: {value!r}")
    return number
