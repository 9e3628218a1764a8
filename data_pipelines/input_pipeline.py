"""Record folder -> static-shape batches, a pure function of (manifest, seed, step).

Training reads in lanes. The records, in the manifest's order, are cut into a fixed number of equal ranges, one a lane;
a lane reads its range again and again, each epoch with its pieces of shards in another order, and windows of records
shuffled. A batch takes the same number of rows from each lane, and pipelines own whole lanes. So batch s is
known without reading what came before: the lane's epoch, its shard, the place in it and the window follow from s and
the manifest's counts. Axes: B batch, L length, K sequences in a row, P predictions, S segments of a lane.
"""

import dataclasses
import math
import os

import numpy as np
import tensorflow as tf

from bert_tf import features
from bert_tf.configs import MaskingConfig
from data_pipelines.masking import MaskingVocabulary, PartOfBatches, mask_batch, num_predictions
from data_pipelines.records import Manifest, piece_dtype, read_manifest, read_vocabulary

MAX_LANES = 16
WINDOW_RECORDS = 2048
_READ_BYTES = 1 << 20
_ROWS_TOGETHER = 1024

# Numbers of the random streams drawn from the training seed.
_ORDER_STREAM, _WINDOW_STREAM, _MASK_STREAM = 0, 1, 2


def static_batch_spec(folder: str, masking: MaskingConfig, batch_size: int) -> dict[str, features.Feature]:
    """Shapes and dtypes of the folder's batches, from its manifest alone (see `features.pretraining_batch`).

    Raises:
        FileNotFoundError, ValueError: see `records.read_manifest`.
    """
    manifest = read_manifest(folder)
    return features.pretraining_batch(
        batch_size,
        manifest.max_seq_length,
        num_predictions(masking, manifest.max_seq_length),
        manifest.max_sequences_per_row,
    )


def number_of_lanes(batch_size: int, num_records: int) -> int:
    """Lanes that batches of this size are read from: the largest power of two, at most 16, that divides the size."""
    lanes = math.gcd(batch_size, MAX_LANES)
    while lanes > num_records:
        lanes //= 2
    return lanes


def training_dataset(
    folder: str,
    masking: MaskingConfig,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    input_pipeline_id: int = 0,
    num_input_pipelines: int = 1,
    flag: str = "--train_data",
    num_threads: int = 1,
) -> tf.data.Dataset:
    """Batches for training without end, from the one of step `start_step` on.

    What a step gets depends on the manifest, `masking`, `batch_size`, `seed` and the step's number only. Each lane
    reads each of its records once an epoch. With several pipelines (one a host), their batches put one after the
    other are the batch that a single pipeline reads, masks included.

    Args:
        folder: a record folder.
        masking: how pieces to predict are chosen.
        batch_size: B, rows in the global batch; with several pipelines each yields its part of them.
        seed: of order and masks.
        start_step: number of the first batch; any is reached in well under a second.
        input_pipeline_id: which pipeline this is.
        num_input_pipelines: how many read together; a divisor of the number of lanes.
        flag: where `folder` came from, for messages.
        num_threads: threads of the pipeline; one keeps the cores for the step.

    Returns:
        A dataset of `features.pretraining_batch` with static shapes. Reading raises `tf.errors.DataLossError` on a
        corrupt record and `tf.errors.InvalidArgumentError` on one that contradicts the manifest.

    Raises:
        FileNotFoundError: the folder, its manifest or a shard is missing.
        ValueError: the folder contradicts its manifest, or the batch size cannot be divided over the pipelines.
    """
    source = _open(folder, masking, flag)
    if batch_size < 1 or start_step < 0:
        raise ValueError(
            f"batch_size must be at least 1 and start_step at least 0. Received: {batch_size} and {start_step}"
        )
    lanes = number_of_lanes(batch_size, source.manifest.num_records)
    if num_input_pipelines < 1 or lanes % num_input_pipelines:
        raise ValueError(
            f"num_input_pipelines must divide the {lanes} lanes of batch_size {batch_size} (the largest power of two "
            f"up to {MAX_LANES} that divides it). Received: num_input_pipelines={num_input_pipelines}"
        )
    if not 0 <= input_pipeline_id < num_input_pipelines:
        raise ValueError(
            f"input_pipeline_id must be between 0 and {num_input_pipelines - 1}. Received: {input_pipeline_id}"
        )
    # Small batches are made several at a time: operations on few rows cost little more than on none.
    steps = max(1, _ROWS_TOGETHER // batch_size)
    rows_per_lane = batch_size // lanes
    own_lanes = lanes // num_input_pipelines
    first_lane = input_pipeline_id * own_lanes
    first_group = start_step // steps
    reader = _LaneReader(source.folder, source.manifest, lanes, seed)
    mask_seed = _stream_seed(seed, _MASK_STREAM)

    def read_lane(lane: tf.Tensor) -> tf.data.Dataset:
        records = reader.read(lane, first_group * steps * rows_per_lane)
        return records.rebatch(steps * rows_per_lane, drop_remainder=True)

    part = PartOfBatches(own_lanes * rows_per_lane, first_lane * rows_per_lane, batch_size, steps)

    def to_batches(group: tf.Tensor, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """Records [own lanes, steps x rows of a lane] -> a batch, or several stacked: [steps, rows of a batch, ...]."""
        by_step = tf.transpose(tf.reshape(serialized, [own_lanes, steps, rows_per_lane]), [1, 0, 2])
        batch = mask_batch(
            source.parse(tf.reshape(by_step, [steps * part.rows])),
            masking,
            source.predictions,
            source.vocabulary,
            tf.random.experimental.stateless_fold_in(mask_seed, group),
            part,
        )
        if steps == 1:
            return batch
        return {name: tf.reshape(values, [steps, part.rows, values.shape[1]]) for name, values in batch.items()}

    groups = (
        tf.data.Dataset.range(first_lane, first_lane + own_lanes)
        .interleave(read_lane, cycle_length=own_lanes, block_length=1)
        .batch(own_lanes, drop_remainder=True)
        .enumerate(first_group)
        .map(to_batches)
    )
    if steps > 1:
        groups = groups.prefetch(1).unbatch().skip(start_step - first_group * steps)
    return groups.prefetch(2).with_options(_options(num_threads))


def evaluation_dataset(
    folder: str,
    masking: MaskingConfig,
    batch_size: int,
    seed: int = 0,
    flag: str = "--eval_data",
    num_threads: int = 1,
) -> tf.data.Dataset:
    """Every record once, in order, with the same masks each time the dataset is read.

    Args:
        folder: a record folder.
        masking: how pieces to predict are chosen.
        batch_size: B. The last batch is filled with empty rows, all of whose weights are 0.
        seed: of the masks, together with the number of the batch; the same for all runs that are to be compared.
        flag: where `folder` came from, for messages.
        num_threads: threads of the pipeline.

    Returns:
        A finite dataset of `features.pretraining_batch` with static shapes.

    Raises:
        FileNotFoundError, ValueError: see `training_dataset`.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1. Received: {batch_size}")
    source = _open(folder, masking, flag)
    mask_seed = _stream_seed(seed, _MASK_STREAM)

    def to_batch(number: tf.Tensor, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        padded = tf.pad(serialized, [[0, batch_size - tf.shape(serialized)[0]]], constant_values="")
        rows = source.parse(tf.ensure_shape(padded, [batch_size]))
        batch_seed = tf.random.experimental.stateless_fold_in(mask_seed, number)
        return mask_batch(rows, masking, source.predictions, source.vocabulary, batch_seed)

    paths = [os.path.join(source.folder, shard.file_name) for shard in source.manifest.shards]
    return (
        tf.data.TFRecordDataset(paths, buffer_size=_READ_BYTES)
        .apply(tf.data.experimental.assert_cardinality(source.manifest.num_records))
        .batch(batch_size)
        .enumerate()
        .map(to_batch)
        .apply(tf.data.experimental.assert_cardinality(-(-source.manifest.num_records // batch_size)))
        .prefetch(4)
        .with_options(_options(num_threads))
    )


def _options(num_threads: int) -> tf.data.Options:
    """One thread runs the pipeline ahead of the step, and its operations do not spread over further cores."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    options.threading.private_threadpool_size = num_threads
    options.threading.max_intra_op_parallelism = 1
    return options


def _stream_seed(seed: int, stream: int) -> tf.Tensor:
    return tf.constant([seed, stream], tf.int64)


@dataclasses.dataclass(frozen=True)
class _Source:
    """An opened record folder and how its serialized records become rows."""

    folder: str
    manifest: Manifest
    vocabulary: MaskingVocabulary
    predictions: int

    def parse(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """Strings [B] of records -> rows (`masking.encoder_features`); an empty string becomes an empty row.

        The whole batch is parsed at once, several times as fast as record by record.
        """
        length, num_sequences = self.manifest.max_seq_length, self.manifest.max_sequences_per_row
        dtype = piece_dtype(self.manifest.vocab_size)
        per_sequence = tf.io.FixedLenFeature([num_sequences], tf.int64, [0] * num_sequences)
        names = (
            features.RECORD_SEQUENCE_LENGTHS,
            features.RECORD_FIRST_SEGMENT_LENGTHS,
            features.RECORD_NEXT_SENTENCE_LABELS,
        )
        parsed = tf.io.parse_example(
            serialized,
            {features.RECORD_INPUT_IDS: tf.io.FixedLenFeature([], tf.string, "")} | dict.fromkeys(names, per_sequence),
        )
        raw = parsed[features.RECORD_INPUT_IDS]
        pieces = tf.io.decode_raw(raw, tf.as_dtype(dtype), fixed_length=length * dtype.itemsize)
        rows = {name: tf.cast(parsed[name], tf.int32) for name in names}
        row_lengths = tf.reduce_sum(rows[features.RECORD_SEQUENCE_LENGTHS], axis=1)
        input_ids = tf.cast(pieces, tf.int32)
        where = f"{self.folder}: the records contradict {self.folder}/manifest.json: "
        checks = [
            tf.debugging.assert_equal(
                tf.strings.length(raw), row_lengths * dtype.itemsize, where + "bytes of a row and sequence_lengths"
            ),
            tf.debugging.assert_less_equal(row_lengths, length, where + "a row is longer than max_seq_length"),
            tf.debugging.assert_less(
                tf.reduce_max(input_ids), self.manifest.vocab_size, where + "a piece id is not below vocab_size"
            ),
        ]
        with tf.control_dependencies([check for check in checks if check is not None]):
            return {name: tf.identity(value) for name, value in (rows | {"input_ids": input_ids}).items()}


def _open(folder: str, masking: MaskingConfig, flag: str) -> _Source:
    manifest = read_manifest(folder, flag)
    vocabulary = MaskingVocabulary.of(read_vocabulary(folder, manifest, flag))
    return _Source(folder, manifest, vocabulary, num_predictions(masking, manifest.max_seq_length))


class _LaneReader:
    """Reads lanes: `read(lane, row)` is the lane's endless stream of records from row number `row` on."""

    def __init__(self, folder: str, manifest: Manifest, lanes: int, seed: int) -> None:
        segments = [_lane_segments(manifest, lane, lanes) for lane in range(lanes)]
        width = max(map(len, segments))
        # [lanes, S, 3] shard, first record, records; padded with segments of no record.
        table = np.zeros((lanes, width, 3), np.int64)
        for lane, rows in enumerate(segments):
            table[lane, : len(rows)] = rows
        self._table = tf.constant(table)
        self._records_in_lane = tf.constant(table[:, :, 2].sum(axis=1))
        self._paths = tf.constant([os.path.join(folder, shard.file_name) for shard in manifest.shards])
        self._order_seed = _stream_seed(seed, _ORDER_STREAM)
        self._window_seed = _stream_seed(seed, _WINDOW_STREAM)

    def read(self, lane: tf.Tensor, row: int) -> tf.data.Dataset:
        """String tensors of whole or partial windows, from the lane's record number `row` on, counted over epochs."""
        first_epoch = row // self._records_in_lane[lane]
        row_in_epoch = row % self._records_in_lane[lane]
        first_window = row_in_epoch // WINDOW_RECORDS

        def read_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            is_first = epoch == first_epoch
            window = tf.where(is_first, first_window, 0)
            skipped = tf.where(is_first, row_in_epoch % WINDOW_RECORDS, 0)
            return (
                self._segments_from(lane, epoch, window * WINDOW_RECORDS)
                .flat_map(self._records)
                .batch(WINDOW_RECORDS)
                .enumerate(window)
                .map(lambda number, records: self._shuffle(lane, epoch, number, records))
                .enumerate()
                .map(lambda index, records: records[tf.where(index == 0, skipped, 0) :])
            )

        return tf.data.Dataset.counter(first_epoch).flat_map(read_epoch)

    def _segments_from(self, lane: tf.Tensor, epoch: tf.Tensor, row: tf.Tensor) -> tf.data.Dataset:
        """The epoch's segments in their random order, without the `row` records that were read already."""
        segments = self._table[lane]
        scores = tf.random.stateless_uniform([segments.shape[0]], _fold(self._order_seed, lane, epoch))
        segments = tf.gather(segments, tf.argsort(scores, stable=True))
        records = segments[:, 2]
        skip = tf.clip_by_value(row - tf.cumsum(records, exclusive=True), 0, records)
        segments = tf.stack([segments[:, 0], segments[:, 1] + skip, records - skip], axis=1)
        return tf.data.Dataset.from_tensor_slices(segments).filter(lambda segment: segment[2] > 0)

    def _records(self, segment: tf.Tensor) -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(self._paths[segment[0]], buffer_size=_READ_BYTES)
        # A shard that ends early must not pass for one that was read.
        return records.skip(segment[1]).take(segment[2]).apply(tf.data.experimental.assert_cardinality(segment[2]))

    def _shuffle(self, lane: tf.Tensor, epoch: tf.Tensor, number: tf.Tensor, records: tf.Tensor) -> tf.Tensor:
        seed = _fold(self._window_seed, lane, epoch, number)
        scores = tf.random.stateless_uniform([tf.size(records)], seed)
        return tf.gather(records, tf.argsort(scores, stable=True))


def _fold(seed: tf.Tensor, *numbers: tf.Tensor) -> tf.Tensor:
    for number in numbers:
        seed = tf.random.experimental.stateless_fold_in(seed, number)
    return seed


def _lane_segments(manifest: Manifest, lane: int, lanes: int) -> list[tuple[int, int, int]]:
    """The lane's range of records as (shard, first record in it, number of records)."""
    start = lane * manifest.num_records // lanes
    end = (lane + 1) * manifest.num_records // lanes
    segments = []
    shard_start = 0
    for index, shard in enumerate(manifest.shards):
        first, last = max(start, shard_start), min(end, shard_start + shard.records)
        if first < last:
            segments.append((index, first - shard_start, last - first))
        shard_start += shard.records
    return segments
