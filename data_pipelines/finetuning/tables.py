"""Tables with a header -> rows: TSV, CSV, JSON lines, and TensorFlow Datasets."""

import csv
import os
from collections.abc import Iterator
from typing import Any

from bert_tf.utils import files

Rows = Iterator[tuple[str, dict[str, Any]]]
"""An iterator of (file and line, fields by column)."""

TFDS = "tfds:"
"""What a data set's name starts with, in place of a path."""
_COMPRESSED = (".gz", ".bz2", ".zst")


def read_rows(path: str) -> Rows:
    r"""Yield the rows of a table, each with its file and line.

    The format follows the suffix: `.tsv` (fields between tabs, quotes are ordinary characters, as in GLUE), `.csv`
    (RFC 4180: quoted fields may hold commas and line breaks), `.jsonl` (an object a line; its keys are the columns).
    `tfds:NAME[SPLIT]`, such as `tfds:glue/sst2[train]` or `tfds:glue/sst2[train[:10%]]`, is a data set of TensorFlow
    Datasets, whose features are the columns; classes come by name. A byte-order mark is dropped.

    Args:
        path: a file, local or remote, perhaps compressed (`.tsv.gz`), or `tfds:...`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: The suffix is another, a row has more or fewer fields than the header, text is not UTF-8, or the
            data set does not exist. The message names file and line.
    """
    if path.startswith(TFDS):
        return _tfds_rows(path)
    readers = {".tsv": _tsv_rows, ".csv": _csv_rows, ".jsonl": files.iterate_json_objects}
    suffix = suffix_of(path)
    if suffix not in readers:
        raise ValueError(
            f"`path` must name a file that ends in {', '.join(readers)}, or a data set, tfds:NAME[SPLIT]. "
            f"Received: {path!r}"
        )
    return readers[suffix](path)


def suffix_of(path: str) -> str:
    """Return the suffix that tells a file's format, in lower case and without that of a compression.

    >>> suffix_of("a/train.TSV.gz")
    '.tsv'
    """
    root, suffix = os.path.splitext(path.lower())
    return os.path.splitext(root)[1] if suffix in _COMPRESSED else suffix


def text_field(row: dict[str, Any], column: str, source: str, *, may_be_empty: bool = False) -> str:
    """Return the text of a column without the white space around it; whole numbers count as text.

    Raises:
        ValueError: there is no such column, or it is empty or no text.
    """
    value = field(row, column, source)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{source}, column {column!r}: must be a text or a whole number. Received: {value!r}")
    text = str(value).strip()
    if not text and not may_be_empty:
        raise ValueError(f"{source}, column {column!r}: must not be empty. Received: {value!r}")
    return text


def field(row: dict[str, Any], column: str, source: str) -> Any:
    """Return the value of a column.

    Raises:
        ValueError: there is no such column.
    """
    if column not in row:
        raise ValueError(f"{source}: there is no column {column!r}; there are: {', '.join(map(repr, row))}")
    return row[column]


def _row(header: list[str], fields: list[str], source: str) -> dict[str, Any]:
    if len(fields) != len(header):
        raise ValueError(
            f"{source}: must have {len(header)} fields, as the header has ({', '.join(header)}). "
            f"Received: {len(fields)} fields"
        )
    return dict(zip(header, fields, strict=True))


def _tsv_rows(path: str) -> Rows:
    header: list[str] | None = None
    for number, line in enumerate(files.iterate_lines(path), 1):
        fields = line.split("\t")
        if header is None:
            header = _header(fields, path)
        elif line:
            source = f"{path}, line {number}"
            yield source, _row(header, fields, source)


def _csv_rows(path: str) -> Rows:
    header: list[str] | None = None
    reader = csv.reader((f"{line}\n" for line in files.iterate_lines(path)), strict=True)
    start = 1  # a quoted field may run over lines: the row is named by its first
    try:
        for fields in reader:
            if header is None:
                header = _header(fields, path)
            elif fields:
                source = f"{path}, line {start}"
                yield source, _row(header, fields, source)
            start = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}, line {start}: not CSV ({error})") from None


def _header(fields: list[str], path: str) -> list[str]:
    header = [name.strip() for name in fields]
    repeated = next((name for name in header if header.count(name) > 1), None)
    if repeated is not None:
        raise ValueError(f"{path}, line 1: columns must have different names. Received: {repeated!r} twice")
    return header


def _tfds_rows(path: str) -> Rows:
    name, bracket, split = path.removeprefix(TFDS).partition("[")
    if not name or not bracket or not split.endswith("]"):
        raise ValueError(f"`path` must be tfds:NAME[SPLIT], such as tfds:glue/sst2[train]. Received: {path!r}")
    try:
        import tensorflow_datasets as tfds
    except ImportError:
        raise ValueError(
            f"`path` as tfds:... needs TensorFlow Datasets: pip install 'bert_tf[tfds]'. Received: {path!r}"
        ) from None
    try:
        builder = tfds.builder(name, try_gcs=False)
        if not builder.is_prepared():
            builder.download_and_prepare()
        # One file after the other: the order is that of the disk, on every machine.
        read_config = tfds.ReadConfig(interleave_cycle_length=1)
        examples = builder.as_dataset(split=split.removesuffix("]"), shuffle_files=False, read_config=read_config)
    except (ValueError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"`path` must name a data set that TensorFlow Datasets can read ({reason}). Received: {path!r}"
        ) from None
    classes = {
        column: feature.int2str
        for column, feature in builder.info.features.items()
        if isinstance(feature, tfds.features.ClassLabel)
    }
    for number, example in enumerate(examples.as_numpy_iterator()):
        row = {column: _plain(value) for column, value in example.items()}
        for column, name_of in classes.items():
            row[column] = name_of(row[column]) if row[column] >= 0 else ""
        yield f"{path}, example {number}", row


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return [_plain(item) for item in value] if isinstance(value, list) else value
