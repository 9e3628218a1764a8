"""A check of every record of a folder, checksums included, against the manifest."""

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Sequence

import numpy as np

from bert_tf import features
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from bert_tf.utils.progress import progress_bar
from data_pipelines.records.manifest import (
    MANIFEST_FILE,
    Manifest,
    ShardInfo,
    token_dtype,
)
from data_pipelines.records.tfrecords import read_tfrecords

_ROWS_TOGETHER = 1024


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault of a shard.

    Attributes:
        path: the path of the shard.
        first_record: the number, in the shard, of the first record that cannot be used.
        records: the number of records that cannot be used; 0 if all can be used, but the manifest contradicts them.
        reason: the reason in words.
    """

    path: str
    first_record: int
    records: int
    reason: str

    def __str__(self) -> str:
        if not self.records:
            return f"{self.path}: {self.reason}"
        last = f" to {self.first_record + self.records - 1}" if self.records > 1 else ""
        return f"{self.path}, record {self.first_record}{last}: {self.reason}"


def find_faults(folder: str, manifest: Manifest, tokenizer: WordPieceTokenizer) -> Iterator[Fault]:
    """Yield the faults of the folder's shards, in their order. Records are counted from 0.

    Memory holds one shard of at most 100,000 records.

    Raises:
        FileNotFoundError: a shard is missing.
    """
    with progress_bar(label="verifying", total=manifest.num_records, unit="record") as bar:
        for shard in manifest.shards:
            yield from _faults_of_shard(folder, manifest, shard, tokenizer)
            bar.update(shard.records)


def require_sound(folder: str, manifest: Manifest, tokenizer: WordPieceTokenizer) -> None:
    """Check that a folder has no fault.

    Raises:
        ValueError: it has one. The message names the first fault, its shard and its record.
    """
    for fault in find_faults(folder, manifest, tokenizer):
        raise ValueError(f"`folder`: {fault}")


def _faults_of_shard(
    folder: str, manifest: Manifest, shard: ShardInfo, tokenizer: WordPieceTokenizer
) -> Iterator[Fault]:
    path = os.path.join(folder, shard.file_name)
    contents = files.read_bytes(path)
    records, whole = read_tfrecords(contents)
    found = False
    tokens = 0
    for first in range(0, min(len(records), shard.records), _ROWS_TOGETHER):
        for number, reason, size in _check(
            records[first : min(first + _ROWS_TOGETHER, shard.records)], folder, manifest, tokenizer
        ):
            tokens += size
            if reason:
                found = True
                yield Fault(path, first + number, 1, reason)
    manifest_path = os.path.join(folder, MANIFEST_FILE)
    if len(records) < shard.records:
        what = f"the shard ends there, where {manifest_path} says {shard.records} records"
        if not whole:
            what = "the shard is cut off there, or the record's length is corrupt: nothing after it can be read"
        yield Fault(path, len(records), shard.records - len(records), what)
    elif len(records) > shard.records:
        yield Fault(
            path,
            shard.records,
            0,
            f"must have {shard.records} records, as {manifest_path} says. Received: {len(records)}",
        )
    elif found:
        return  # the checksum of the whole file would only repeat these faults
    elif tokens != shard.tokens:
        yield Fault(path, 0, 0, f"must have {shard.tokens} tokens, as {manifest_path} says. Received: {tokens}")
    elif hashlib.sha256(contents).hexdigest() != shard.sha256:
        yield Fault(path, 0, 0, f"must have the sha256 that {manifest_path} says; all of its records can be read")


def _check(
    records: Sequence[bytes | None], folder: str, manifest: Manifest, tokenizer: WordPieceTokenizer
) -> Iterator[tuple[int, str, int]]:
    """Yield (number, fault or "", tokens) of the records. Sound records may be yielded together, as one."""
    import tensorflow as tf

    from data_pipelines.records.parsing import parse_rows

    if None not in records:
        try:
            rows = parse_rows(tf.constant(records), folder, manifest)
        except (tf.errors.InvalidArgumentError, UnicodeDecodeError):
            pass  # a record is faulty; if it is not an Example, TensorFlow's message may not even be text
        else:
            lengths = rows[features.RECORD_SEQUENCE_LENGTHS].numpy()
            first_lengths = rows[features.RECORD_FIRST_SEGMENT_LENGTHS].numpy()
            if specials_are_right(rows["input_ids"].numpy(), lengths, first_lengths, tokenizer=tokenizer).all():
                yield 0, "", int(lengths.sum())
                return
    for number, record in enumerate(records):
        reason, tokens = _check_one(record, manifest, tokenizer)
        yield number, reason, tokens


def _check_one(record: bytes | None, manifest: Manifest, tokenizer: WordPieceTokenizer) -> tuple[str, int]:
    """Return the fault of a record, or "", and the number of its tokens."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    if record is None:
        return "the checksum of its bytes is wrong", 0
    try:
        feature = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        return "it is not a tf.train.Example", 0
    num_sequences, dtype = manifest.max_sequences_per_row, token_dtype(manifest.vocab_size)
    values = {
        name: list(feature[name].int64_list.value)
        for name in (
            features.RECORD_SEQUENCE_LENGTHS,
            features.RECORD_FIRST_SEGMENT_LENGTHS,
            features.RECORD_NEXT_SENTENCE_LABELS,
        )
    }
    for name, numbers in values.items():
        if len(numbers) != num_sequences:
            return f"{name} must hold {num_sequences} numbers. Received: {len(numbers)}", 0
    raw = feature[features.RECORD_INPUT_IDS].bytes_list.value
    if len(raw) != 1:
        return f"input_ids must hold one string of bytes. Received: {len(raw)}", 0
    lengths, first_lengths, _ = values.values()
    tokens = sum(lengths)
    if len(raw[0]) != tokens * dtype.itemsize:
        return f"its {len(raw[0])} bytes of tokens contradict sequence_lengths, {tokens} in all", 0
    if tokens > manifest.max_seq_length:
        return f"it must have at most max_seq_length={manifest.max_seq_length} tokens. Received: {tokens}", 0
    if any(not 0 <= first <= length for first, length in zip(first_lengths, lengths, strict=True)):
        return f"a first segment must be part of its sequence. Received: {first_lengths} of {lengths}", 0
    ids = np.frombuffer(raw[0], dtype)
    if tokens and ids.max() >= manifest.vocab_size:
        return f"token ids must be below the vocabulary's size, {manifest.vocab_size}. Received: {ids.max()}", 0
    if manifest.is_segmented:
        bits = feature[features.RECORD_CONTINUES].bytes_list.value
        if len(bits) != 1 or len(bits[0]) != -(-tokens // 8):
            sizes = [len(value) for value in bits]
            return f"continues must hold a bit for each of {tokens} tokens. Received: strings of {sizes} bytes", 0
    if not specials_are_right(ids[None], np.array([lengths]), np.array([first_lengths]), tokenizer=tokenizer)[0]:
        return "[CLS] and [SEP] must be at the ends of segments, and nowhere else", 0
    return "", tokens


def specials_are_right(
    input_ids: np.ndarray, lengths: np.ndarray, first_lengths: np.ndarray, *, tokenizer: WordPieceTokenizer
) -> np.ndarray:
    """Return whether each row's sequences are `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`, bool [B].

    `input_ids` is [B, L], `lengths` and `first_lengths` are [B, K].
    """
    ends = np.cumsum(lengths, axis=1)
    expected = np.zeros((len(input_ids), input_ids.shape[1] + 1), np.int64)  # the last column takes what is missing
    for positions, special in (
        (ends - lengths, tokenizer.cls_id),
        (ends - lengths + first_lengths - 1, tokenizer.sep_id),
        (ends - 1, tokenizer.sep_id),
    ):
        np.put_along_axis(expected, np.where(lengths > 0, positions, -1), special, axis=1)
    special = (input_ids == tokenizer.cls_id) | (input_ids == tokenizer.sep_id)
    return (np.where(special, input_ids, 0) == expected[:, :-1]).all(axis=1)
