"""Classification of one text or of a pair: files with a header -> examples -> arrays -> batches."""

import csv
import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from bert_tf import features, files
from bert_tf.configs import ClassificationConfig


@dataclasses.dataclass(frozen=True)
class ClassificationExample:
    """One row of a file.

    Attributes:
        text_pair: None for a task on single texts.
        label: None where the file was read without labels.
        source: file and line, for messages.
    """

    text: str
    text_pair: str | None = None
    label: str | None = None
    source: str = dataclasses.field(default="", compare=False)


class PairEncoder(Protocol):
    """What is needed of a tokenizer (`bert_tf.tokenization.WordPieceTokenizer`)."""

    def encode_pair(
        self, text: str, text_pair: str | None = None, max_seq_length: int | None = None
    ) -> tuple[list[int], list[int]]:
        """Piece ids and segment ids of `[CLS] text [SEP]` or `[CLS] text [SEP] text_pair [SEP]`."""
        ...


def read_examples(
    path: str, config: ClassificationConfig, flag: str, labelled: bool = True
) -> list[ClassificationExample]:
    r"""The examples of a file whose first line names its columns.

    The format follows the suffix: `.tsv` (fields between tabs, quotes are ordinary characters, as in GLUE), `.csv`
    (RFC 4180: quoted fields may hold commas and line breaks), `.jsonl` (an object a line; its keys are the columns,
    and a label may be a number). Other columns are ignored, and so is a byte-order mark.

    Args:
        path: the file, local or remote.
        config: names the columns of text, pair and label.
        flag: the flag the path came from, for messages.
        labelled: whether the label column is read; without, it need not exist.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another suffix, a missing column, a row with another number of fields than the header, an empty
            field, text that is not UTF-8, or no rows; the message names file, line and column.
    """
    readers = {".tsv": _tsv_rows, ".csv": _csv_rows, ".jsonl": files.iterate_json_objects}
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in readers:
        raise ValueError(f"{flag} must name a file that ends in {', '.join(readers)}. Received: {path!r}")
    columns = [config.text_column]
    if config.text_pair_column is not None:
        columns.append(config.text_pair_column)
    if labelled:
        columns.append(config.label_column)
    examples = []
    for source, row in readers[suffix](path):
        fields = {column: _field(row, column, source) for column in columns}
        examples.append(
            ClassificationExample(
                text=fields[config.text_column],
                text_pair=None if config.text_pair_column is None else fields[config.text_pair_column],
                label=fields[config.label_column] if labelled else None,
                source=source,
            )
        )
    if not examples:
        raise ValueError(f"{flag} must name a file with at least one example; it has no rows. Received: {path!r}")
    return examples


_Rows = Iterator[tuple[str, dict[str, Any]]]  # (file and line, fields by column)


def _field(row: dict[str, Any], column: str, source: str) -> str:
    if column not in row:
        raise ValueError(f"{source}: there is no column {column!r}; there are: {', '.join(map(repr, row))}")
    value = row[column]
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{source}, column {column!r}: must be a text or a whole number. Received: {value!r}")
    text = str(value).strip()
    if not text:
        raise ValueError(f"{source}, column {column!r}: must not be empty. Received: {value!r}")
    return text


def _row(header: list[str], fields: list[str], source: str) -> dict[str, Any]:
    if len(fields) != len(header):
        raise ValueError(
            f"{source}: must have {len(header)} fields, as the header has ({', '.join(header)}). "
            f"Received: {len(fields)} fields"
        )
    return dict(zip(header, fields, strict=True))


def _tsv_rows(path: str) -> _Rows:
    header: list[str] | None = None
    for number, line in enumerate(files.iterate_lines(path), 1):
        fields = line.split("\t")
        if header is None:
            header = _header(fields, path)
        elif line:
            source = f"{path}, line {number}"
            yield source, _row(header, fields, source)


def _csv_rows(path: str) -> _Rows:
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
    header = [field.strip() for field in fields]
    repeated = next((name for name in header if header.count(name) > 1), None)
    if repeated is not None:
        raise ValueError(f"{path}, line 1: columns must have different names. Received: {repeated!r} twice")
    return header


def label_names(train_examples: Sequence[ClassificationExample]) -> list[str]:
    """The labels of the training examples, sorted: label id i is the i-th.

    Raises:
        ValueError: there are fewer than two.
    """
    labels = sorted({example.label for example in train_examples if example.label is not None})
    if len(labels) < 2:
        source = train_examples[0].source if train_examples else "no examples"
        raise ValueError(f"the training examples ({source} ...) must have at least two labels. Received: {labels!r}")
    return labels


def encode_examples(
    examples: Sequence[ClassificationExample],
    labels: Sequence[str],
    tokenizer: PairEncoder,
    config: ClassificationConfig,
) -> dict[str, np.ndarray]:
    """The arrays of `features.classification_batch`, a row an example.

    Args:
        examples: N examples; those without a label get label id 0 at weight 0.
        labels: `label_names` of the training examples.
        tokenizer: cuts what is longer than `config.max_seq_length`, L.
        config: the task.

    Returns:
        `input_ids`, `input_mask` (1 on pieces, 0 on padding), `segment_ids`, `position_ids` int32 [N, L];
        `label_ids` int32 [N], `label_weights` float32 [N].

    Raises:
        ValueError: a label is not in `labels`; the message names file and line.
    """
    label_ids = {label: number for number, label in enumerate(labels)}
    contract = features.classification_batch(len(examples), config.max_seq_length)
    arrays: dict[str, np.ndarray] = {
        name: np.zeros([size or 0 for size in feature.shape], feature.dtype) for name, feature in contract.items()
    }
    for row, example in enumerate(examples):
        input_ids, segment_ids = tokenizer.encode_pair(
            example.text, example.text_pair, max_seq_length=config.max_seq_length
        )
        arrays["input_ids"][row, : len(input_ids)] = input_ids
        arrays["segment_ids"][row, : len(segment_ids)] = segment_ids
        arrays["input_mask"][row, : len(input_ids)] = 1
        if example.label is not None:
            if example.label not in label_ids:
                raise ValueError(
                    f"{example.source}, column {config.label_column!r}: must be one of the training labels "
                    f"({', '.join(labels)}). Received: {example.label!r}"
                )
            arrays["label_ids"][row] = label_ids[example.label]
            arrays["label_weights"][row] = 1.0
    arrays["position_ids"][:] = np.arange(config.max_seq_length)
    return arrays


def training_dataset(arrays: dict[str, np.ndarray], batch_size: int, seed: int, start_step: int = 0) -> Any:
    """Endless batches in a seeded order, a new permutation each epoch.

    Batch s is a pure function of (arrays, seed, s): a data set started at step s gives what one started at 0 gives
    from s on, at no cost. A batch may run over the end of an epoch; every example comes once an epoch.

    Args:
        arrays: `encode_examples`'s.
        batch_size: B, static.
        seed: of the permutations.
        start_step: the step of the first batch.

    Returns:
        A `tf.data.Dataset` of `features.classification_batch(B, L)`.
    """
    import tensorflow as tf  # here, so that reading examples does not wait for TensorFlow's start

    count = _count(arrays)
    if batch_size < 1 or start_step < 0:
        raise ValueError(
            "`batch_size` must be at least 1 and `start_step` at least 0. "
            f"Received: batch_size={batch_size}, start_step={start_step}"
        )
    first_epoch, skipped = divmod(start_step * batch_size, count)

    def permutation(epoch: Any) -> Any:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count, dtype=tf.int64), seed=tf.stack([tf.constant(seed, tf.int64), epoch]), alg="philox"
        )
        return tf.data.Dataset.from_tensor_slices(order[tf.where(epoch == first_epoch, skipped, 0) :])

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    rows = epochs.flat_map(permutation).batch(batch_size, drop_remainder=True)
    tensors = {name: tf.constant(array) for name, array in arrays.items()}
    batches = rows.map(lambda chosen: {name: tf.gather(tensor, chosen) for name, tensor in tensors.items()})
    return batches.prefetch(tf.data.AUTOTUNE)


def evaluation_dataset(arrays: dict[str, np.ndarray], batch_size: int) -> Any:
    """Every example exactly once, in order, in batches of one static size.

    The last batch is filled up with copies of the first example at `label_weights` 0.

    Args:
        arrays: `encode_examples`'s.
        batch_size: B, static.

    Returns:
        A `tf.data.Dataset` of ceil(N / B) batches of `features.classification_batch(B, L)`.
    """
    import tensorflow as tf

    count = _count(arrays)
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size!r}")
    padding = -count % batch_size
    filled = {name: np.concatenate([array, np.repeat(array[:1], padding, axis=0)]) for name, array in arrays.items()}
    filled["label_weights"][count:] = 0.0
    batches = tf.data.Dataset.from_tensor_slices(filled).batch(batch_size, drop_remainder=True)
    return batches.prefetch(tf.data.AUTOTUNE)


def _count(arrays: dict[str, np.ndarray]) -> int:
    count = len(arrays["label_ids"])
    if not count:
        raise ValueError("`arrays` must hold at least one example. Received: none")
    return count


class LabelledFile:
    """A file of labelled examples as fine-tuning takes it: read and checked once, then encoded.

    Args:
        path: the file.
        config: the task.
        flag: where `path` came from, for messages.

    Raises:
        FileNotFoundError, ValueError: see `read_examples`.
    """

    def __init__(self, path: str, config: ClassificationConfig, flag: str) -> None:
        self.path = path
        self.config = config
        self.examples = read_examples(path, config, flag)

    def label_names(self) -> list[str]:
        """The labels that occur, sorted: see the function of this name."""
        return label_names(self.examples)

    def encode(self, labels: Sequence[str], tokenizer: PairEncoder) -> "EncodedExamples":
        """The examples as rows of pieces: see `encode_examples`."""
        return EncodedExamples(encode_examples(self.examples, labels, tokenizer, self.config))


@dataclasses.dataclass(frozen=True)
class EncodedExamples:
    """The arrays of `encode_examples`, and the batches that are read from them."""

    arrays: dict[str, np.ndarray]

    def training_dataset(self, batch_size: int, seed: int, start_step: int = 0) -> Any:
        """Endless batches from `start_step` on: see the function of this name."""
        return training_dataset(self.arrays, batch_size, seed, start_step)

    def evaluation_dataset(self, batch_size: int) -> Any:
        """Every example once, in order: see the function of this name."""
        return evaluation_dataset(self.arrays, batch_size)
