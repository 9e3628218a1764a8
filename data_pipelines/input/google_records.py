"""Conversion between record folders and the masked, padded TFRecords of google-research/bert and the Model Garden.

Their `create_pretraining_data.py` (`write_instance_to_example_files`) publishes the schema of a `tf.train.Example`:
`input_ids`, `input_mask`, `segment_ids` int64 [L], `masked_lm_positions`, `masked_lm_ids` int64 [P],
`masked_lm_weights` float [P], `next_sentence_labels` int64 [1]. Like the Model Garden's reader, this one also accepts
`input_word_ids` for `input_ids` and `input_type_ids` for `segment_ids`.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from bert_tf import features
from bert_tf.configs import MaskingConfig
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from bert_tf.utils.file_patterns import matching_files
from bert_tf.utils.progress import progress_bar
from data_pipelines.input.record_folder import RecordFolder
from data_pipelines.records import tfrecords
from data_pipelines.records.manifest import MAX_RECORDS_PER_SHARD, BuiltShard, PreparationConfig, ShardInfo, token_dtype
from data_pipelines.records.pairs import IS_RANDOM
from data_pipelines.records.verification import specials_are_right
from data_pipelines.records.writer import RecordFolderWriter

_ROWS_TOGETHER = 256
_OTHER_NAMES = {"input_ids": "input_word_ids", "segment_ids": "input_type_ids"}


def export_google_records(folder: RecordFolder, output: str, masking: MaskingConfig, *, dupe_factor: int = 1) -> int:
    """Write the folder's records, masked and padded, to the TFRecord file `output`, in the folder's order.

    Records without a next-sentence label (`--objective mlm`) get the label 0, as in the Model Garden.

    Args:
        folder: the records, with one sequence in each row, because the schema has no room for more.
        output: the file, local or remote, which appears whole or not at all.
        masking: the settings that decide which positions are predicted, and how many a row has.
        dupe_factor: the number of copies of the records, which follow each other and have different masks.

    Returns:
        The number of records written.

    Raises:
        ValueError: the folder is packed, or a record cannot be used.
        OSError: `output` cannot be written.
    """
    if folder.manifest.max_sequences_per_row > 1:
        raise ValueError(
            f"`folder` must hold rows of one sequence, prepared without --pack: Google's schema has one "
            f"next-sentence label a record. Received: {folder.path!r}, with up to "
            f"{folder.manifest.max_sequences_per_row} a row"
        )
    written = 0
    total = folder.manifest.num_records
    with (
        files.written_whole(output) as temporary,
        tf.io.TFRecordWriter(temporary) as writer,
        folder.naming_bad_records(),
        progress_bar(label="exporting", total=total * dupe_factor, unit="record") as bar,
    ):
        for copy in range(dupe_factor):
            rows = 0
            for batch in folder.evaluation_dataset(masking, _ROWS_TOGETHER, seed=copy).as_numpy_iterator():
                in_batch = min(_ROWS_TOGETHER, total - rows)
                for row in range(in_batch):
                    if batch["input_mask"][row, 0]:  # else a record that was skipped
                        writer.write(_google_example({name: values[row] for name, values in batch.items()}))
                        written += 1
                rows += in_batch
                bar.update(in_batch)
    return written


def _google_example(row: dict[str, np.ndarray]) -> bytes:
    # Positions ascend, as in Google's files, and unused predictions stay at the end.
    used = row["masked_lm_weights"] > 0
    order = np.argsort(np.where(used, row["masked_lm_positions"], len(row["input_ids"])), kind="stable")
    integers = {
        "input_ids": row["input_ids"],
        "input_mask": np.minimum(row["input_mask"], 1),
        "segment_ids": row["segment_ids"],
        "masked_lm_positions": row["masked_lm_positions"][order],
        "masked_lm_ids": row["masked_lm_ids"][order],
        "next_sentence_labels": row["next_sentence_labels"],
    }
    feature = {
        name: tf.train.Feature(int64_list=tf.train.Int64List(value=values.tolist()))
        for name, values in integers.items()
    }
    weights = row["masked_lm_weights"].tolist()
    feature["masked_lm_weights"] = tf.train.Feature(float_list=tf.train.FloatList(value=weights))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def import_google_records(
    patterns: str, tokenizer: WordPieceTokenizer, output_dir: str, *, overwrite: bool = False
) -> int:
    """Make a record folder from Google's records, with masked tokens restored and padding removed.

    The rows are as long as the records. Copies of a sequence with other masks (`dupe_factor`) stay copies.

    Args:
        patterns: comma-separated globs of TFRecord files.
        tokenizer: the tokenizer of the vocabulary that the records were made with.
        output_dir: the folder to write.
        overwrite: whether a complete record folder may be replaced.

    Returns:
        The number of records.

    Raises:
        FileNotFoundError: a pattern matches no file.
        ValueError: a record is corrupt or does not follow the schema. The message names file and record.
        OSError: the folder cannot be written to.
    """
    paths = matching_files(patterns)
    first = next((row for path in paths for row in _rows_of(path, tokenizer, None)), None)
    if first is None:
        raise ValueError(f"`patterns` must hold at least one record. Received: {patterns!r}")
    length = first.padded_length
    writer = RecordFolderWriter(output_dir, PreparationConfig(max_seq_length=length), tokenizer, overwrite=overwrite)
    total = 0
    rows = (row for path in paths for row in _rows_of(path, tokenizer, length))
    made_from = hashlib.sha256("\n".join(paths).encode()).hexdigest()
    with progress_bar(label="importing", unit="record") as bar:
        for number, shard in enumerate(iter(lambda: list(itertools.islice(rows, MAX_RECORDS_PER_SHARD)), [])):
            writer.write(number, _built_shard(f"shard-{number:05d}-00.tfrecord", shard, tokenizer), made_from)
            total += len(shard)
            bar.update(len(shard))
    writer.finish()
    return total


@dataclasses.dataclass(frozen=True)
class _ImportedRow:
    """A sequence, unmasked and unpadded, from a record of `padded_length` positions."""

    padded_length: int
    input_ids: np.ndarray
    first_segment_length: int
    label: int


def _rows_of(path: str, tokenizer: WordPieceTokenizer, length: int | None) -> Iterator[_ImportedRow]:
    """Yield the checked rows of a file. Each must have `length` positions, unless `length` is None."""
    compression = "GZIP" if path.endswith(".gz") else ""
    records = tf.data.TFRecordDataset(path, compression_type=compression).as_numpy_iterator()
    for number in itertools.count():
        try:
            record = next(records, None)
            if record is None:
                return
            yield _imported_row(tf.train.Example.FromString(record), tokenizer, length)
        except (ValueError, DecodeError) as error:
            raise ValueError(f"{path}, record {number}: {error}") from None
        except tf.errors.DataLossError:
            raise ValueError(
                f"{path}, record {number}: its bytes are corrupt, or the file is not a TFRecord file"
            ) from None


def _imported_row(example: tf.train.Example, tokenizer: WordPieceTokenizer, length: int | None) -> _ImportedRow:
    feature = example.features.feature

    def integers(name: str) -> np.ndarray:
        found = next((key for key in (name, _OTHER_NAMES.get(name, name)) if key in feature), None)
        if found is None:
            raise ValueError(f"must have the feature {name}. Received: {sorted(feature)}")
        return np.array(feature[found].int64_list.value, np.int64)

    padded = integers("input_ids")
    if length is not None and len(padded) != length:
        raise ValueError(f"input_ids must have {length} tokens, as in the first record. Received: {len(padded)}")
    input_mask, segment_ids = integers("input_mask"), integers("segment_ids")
    size = int(input_mask.sum())
    if len(input_mask) != len(padded) or len(segment_ids) != len(padded) or not size or not input_mask[:size].all():
        raise ValueError("input_mask must be ones, then zeros, as long as input_ids and segment_ids")
    input_ids = padded[:size].copy()
    # Unused predictions have weight 0 and position 0.
    used = np.array(feature["masked_lm_weights"].float_list.value) > 0
    positions, originals = integers("masked_lm_positions"), integers("masked_lm_ids")
    if not len(used) == len(positions) == len(originals):
        raise ValueError("masked_lm_positions, masked_lm_ids and masked_lm_weights must be equally long")
    if (positions[used] >= size).any() or (positions[used] < 0).any():
        raise ValueError(
            f"masked_lm_positions must be positions of the {size} tokens. Received: {positions[used].tolist()}"
        )
    input_ids[positions[used]] = originals[used]
    if input_ids.min() < 0 or input_ids.max() >= tokenizer.vocab_size:
        raise ValueError(
            f"token ids must be from 0 to below the vocabulary's size, {tokenizer.vocab_size}. "
            f"Received: {input_ids.min()} to {input_ids.max()}"
        )
    first = int((segment_ids[:size] == 0).sum())
    if not specials_are_right(input_ids[None], np.array([[size]]), np.array([[first]]), tokenizer=tokenizer)[0]:
        raise ValueError(
            "a row must be `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]` in the tokens of the vocabulary, with "
            f"segment_ids 1 from B on. Received: {tokenizer.decode(input_ids.tolist())!r}"
        )
    labels = feature["next_sentence_labels"].int64_list.value
    label = int(labels[0]) if labels else features.NO_NEXT_SENTENCE_LABEL
    return _ImportedRow(len(padded), input_ids, first, label)


def _built_shard(name: str, rows: list[_ImportedRow], tokenizer: WordPieceTokenizer) -> BuiltShard:
    dtype = token_dtype(tokenizer.vocab_size)
    contents = tfrecords.tfrecord_bytes(
        [
            tfrecords.example_bytes(
                tfrecords.bytes_feature(features.RECORD_INPUT_IDS, row.input_ids.astype(dtype).tobytes()),
                tfrecords.int64_feature(features.RECORD_SEQUENCE_LENGTHS, (len(row.input_ids),)),
                tfrecords.int64_feature(features.RECORD_FIRST_SEGMENT_LENGTHS, (row.first_segment_length,)),
                tfrecords.int64_feature(features.RECORD_NEXT_SENTENCE_LABELS, (row.label,)),
            )
            for row in rows
        ]
    )
    all_ids = np.concatenate([row.input_ids for row in rows])
    info = ShardInfo(
        file_name=name,
        records=len(rows),
        tokens=len(all_ids),
        bytes=len(contents),
        sha256=hashlib.sha256(contents).hexdigest(),
    )
    specials = np.isin(all_ids, (tokenizer.cls_id, tokenizer.sep_id))
    counts = {
        "documents": 0,  # the records do not say where documents begin
        "sentences": 0,
        "tokens": int((~specials).sum()),
        "unknown": int((all_ids == tokenizer.unk_id).sum()),
        "examples": len(rows),
        "labelled": sum(row.label != features.NO_NEXT_SENTENCE_LABEL for row in rows),
        "random_next": sum(row.label == IS_RANDOM for row in rows),
    }
    return BuiltShard([(info, contents)], np.bincount(all_ids, minlength=tokenizer.vocab_size), counts, 0)
