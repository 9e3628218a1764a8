"""The reader of tables with named columns: TSV, CSV, JSON lines and TensorFlow Datasets (TFDS)."""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bert_tf.utils import files

TableRows = Iterable[tuple[str, dict[str, Any]]]
"""The rows of a table: the file and line of each row, and its fields by column."""

TFDS = "tfds:"
"""The start of a path that names a TFDS data set."""
_COMPRESSED = (".gz", ".bz2", ".zst")


def read_rows(path: str, columns: Sequence[str] = (), skipped: list[str] | None = None) -> TableRows:
    r"""Yield the rows of a table, each with its file and line.

    These are the formats:

    - `.tsv`: fields are separated by tabs, and quotes are ordinary characters, as in GLUE.
    - `.csv`: RFC 4180, in which quoted fields may hold commas and line breaks.
    - `.jsonl`: each line is a JSON object, whose keys are the columns.
    - `tfds:NAME[SPLIT]`, such as `tfds:glue/sst2[train]` or `tfds:glue/sst2[train[:10%]]`: the features of the data set
      are the columns, and classes are given by their names.

    Args:
        path: a local or remote file, which may be compressed (`.tsv.gz`), or `tfds:NAME[SPLIT]`.
        columns: the names of all columns of a TSV file without a header. A first line that holds one of them is a
            header. () for files with a header.
        skipped: a list to which the sources of rows of a TSV file with more or fewer fields than the header are added,
            instead of an error; None for the error.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the suffix is none of these, a row has more or fewer fields than the header, text is not UTF-8, or
            the data set cannot be read. The message names file and line.
    """
    if path.startswith(TFDS):
        return _tfds_rows(path)
    suffix = suffix_of(path)
    if suffix == ".tsv":
        return _tsv_rows(path, columns, skipped)
    readers = {".csv": _csv_rows, ".jsonl": files.iterate_json_objects}
    if suffix not in readers:
        raise ValueError(
            f"`path` must name a file that ends in .tsv, {', '.join(readers)}, or a data set, tfds:NAME[SPLIT]. "
            f"Received: {path!r}"
        )
    return readers[suffix](path)


def suffix_of(path: str) -> str:
    """Return the suffix that names the format of a file, in lower case and without the suffix of a compression.

    >>> suffix_of("a/train.TSV.gz")
    '.tsv'
    """
    root, suffix = os.path.splitext(path.lower())
    return os.path.splitext(root)[1] if suffix in _COMPRESSED else suffix


def text_field(row: dict[str, Any], column: str, source: str, *, may_be_empty: bool = False) -> str:
    """Return the text of a field, without white space at its ends. Whole numbers count as text.

    Args:
        row: the fields by column.
        column: the column.
        source: the file and line of the row, for messages.
        may_be_empty: whether an empty text is allowed.

    Raises:
        ValueError: there is no such column, or its field is empty or not a text.
    """
    value = field(row, column, source)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{source}, column {column!r}: must be a text or a whole number. Received: {value!r}")
    text = str(value).strip()
    if not text and not may_be_empty:
        raise ValueError(f"{source}, column {column!r}: must not be empty. Received: {value!r}")
    return text


def label_name(value: Any, labels: Sequence[str], *, source: str, column: str) -> str:
    """Return the name of a label, which a file may give by its name, its number or as a truth value.

    >>> label_name(1, ("negative", "positive"), source="a.jsonl, line 1", column="label")
    'positive'
    >>> label_name(True, (), source="a.jsonl, line 1", column="label")
    'true'

    Args:
        value: a text, a whole number or a truth value.
        labels: the labels that the task's configuration lists, or none. A whole number that is none of them is the
            index of one, counted from 0.
        source: the file and line of the row, for messages.
        column: the column, for messages.

    Raises:
        ValueError: the value is empty or of another type, or its number is not that of a label.
    """
    if isinstance(value, bool):
        name = str(value).lower()
        value = int(value) if labels and name not in labels else name
    text = text_field({column: value}, column, source)
    if not labels or text in labels or not text.isdecimal():
        return text
    if int(text) >= len(labels):
        raise ValueError(
            f"{source}, column {column!r}: must be one of the labels ({', '.join(labels)}), or its number from 0 to "
            f"{len(labels) - 1}. Received: {value!r}"
        )
    return labels[int(text)]


def field(row: dict[str, Any], column: str, source: str) -> Any:
    """Return the value of a field.

    Args:
        row: the fields by column.
        column: the column.
        source: the file and line of the row, for messages.

    Raises:
        ValueError: there is no such column.
    """
    if column not in row:
        raise ValueError(
            f"{source}: must have a column {column!r}. Received: columns {', '.join(map(repr, row))}"
            + _separator_hint(list(row))
        )
    return row[column]


def _row(header: list[str], fields: list[str], source: str) -> dict[str, Any]:
    if len(fields) != len(header):
        raise ValueError(
            f"{source}: must have {len(header)} fields, like the header ({', '.join(header)}). "
            f"Received: {len(fields)} fields{_separator_hint(header)}"
        )
    return dict(zip(header, fields, strict=True))


def _separator_hint(header: list[str]) -> str:
    """Return what helps if the header is a single field that holds another separator; else ""."""
    found = next((sign for sign in "\t;,|" if len(header) == 1 and sign in header[0]), None)
    if found is None:
        return ""
    if found == "\t":
        return ". It looks like TSV, whose fields are separated by tabs: name it .tsv"
    if found == ",":
        return ". It looks like CSV, whose fields are separated by commas: name it .csv"
    script = f"import csv, sys; csv.writer(sys.stdout).writerows(csv.reader(sys.stdin, delimiter={found!r}))"
    return f'. Its fields look separated by {found!r}, not by commas; this helps: python -c "{script}" < OLD > NEW.csv'


def _tsv_rows(path: str, columns: Sequence[str], skipped: list[str] | None) -> TableRows:
    header: list[str] | None = None
    for number, line in enumerate(files.iterate_lines(path), 1):
        fields = line.split("\t")
        if header is None and columns and not set(columns) & set(fields):
            header = list(columns)
        if header is None:
            header = _header(fields, path)
        elif line:
            source = f"{path}, line {number}"
            if skipped is not None and len(fields) != len(header):
                skipped.append(source)
            else:
                yield source, _row(header, fields, source)


def _csv_rows(path: str) -> TableRows:
    header: list[str] | None = None
    reader = csv.reader((f"{line}\n" for line in files.iterate_lines(path)), strict=True)
    start = 1  # the first line of the row; a quoted field may run over several lines
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


def _tfds_rows(path: str) -> TableRows:
    name, bracket, split = path.removeprefix(TFDS).partition("[")
    if not name or not bracket or not split.endswith("]"):
        raise ValueError(f"`path` must be tfds:NAME[SPLIT], such as tfds:glue/sst2[train]. Received: {path!r}")
    try:
        import tensorflow_datasets as tfds
    except ImportError:
        raise ValueError(
            f"`path` with tfds:NAME needs TensorFlow Datasets: pip install 'bert_tf[tfds]'. Received: {path!r}"
        ) from None
    try:
        builder = tfds.builder(name, try_gcs=False)
        if not builder.is_prepared():
            builder.download_and_prepare()
        # Files are read one after the other, so that the order is the same on every machine.
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
        row = {column: plain(value) for column, value in example.items()}
        for column, name_of in classes.items():
            row[column] = name_of(row[column]) if row[column] >= 0 else ""
        yield f"{path}, example {number}", row


def plain(value: Any) -> Any:
    """Return a value of a data set, such as an array, as text, number, or list or dictionary of these."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
