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
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from bert_tf import features
from bert_tf.configs import MaskingConfig
from data_pipelines.masking import MaskingVocabulary, PartOfBatches, mask_batch, num_predictions
from data_pipelines.record_parsing import parse_rows
from data_pipelines.records import Manifest, read_manifest, read_vocabulary

MAX_LANES = 16
WINDOW_RECORDS = 2048
_READ_BYTES = 1 << 20
_RECORDS_OF_A_SHARD = 1 << 32  # more than any holds
_PLACES_TOGETHER = 1 << 17  # 1,024 rows of 128; more leave the cache

Skipped = Mapping[str, Sequence[tuple[int, int]]]
"""File name of a shard -> stretches (first record, records) that cannot be used."""

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
    skipped: Skipped | None = None,
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
        skipped: records that cannot be used; None stops at the first such. Each is replaced by an empty row, all of
            whose weights are 0, in its place; no other row of any batch changes, so that batches stay a function
            of manifest, seed and step.

    Returns:
        A dataset of `features.pretraining_batch` with static shapes. Reading raises `tf.errors.DataLossError` on a
        corrupt record and `tf.errors.InvalidArgumentError` on one that contradicts the manifest.

    Raises:
        FileNotFoundError: the folder, its manifest or a shard is missing.
        ValueError: the folder contradicts its manifest, or the batch size cannot be divided over the pipelines.
    """
    source = _open(folder, masking, flag, allow_damage=skipped is not None)
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
    steps = max(1, _PLACES_TOGETHER // (batch_size * source.manifest.max_seq_length))
    rows_per_lane = batch_size // lanes
    own_lanes = lanes // num_input_pipelines
    first_lane = input_pipeline_id * own_lanes
    first_group = start_step // steps
    shards = _ShardReader(source.folder, source.manifest, skipped)
    reader = _LaneReader(shards, source.manifest, lanes, seed)
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


def records_of_batch(folder: str, batch_size: int, seed: int, step: int) -> list[tuple[str, int]]:
    """Shard and number in it, counted from 0, of each record in the batch of a step of `training_dataset`."""
    manifest = read_manifest(folder, allow_damage=True)
    lanes = number_of_lanes(batch_size, manifest.num_records)
    rows_per_lane = batch_size // lanes
    reader = _LaneReader(_RecordNumbers(), manifest, lanes, seed)
    found = []
    for lane in range(lanes):
        numbers = reader.read(tf.constant(lane, tf.int64), step * rows_per_lane).unbatch().take(rows_per_lane)
        found += [divmod(int(number), _RECORDS_OF_A_SHARD) for number in numbers]
    return [(manifest.shards[shard].file_name, record) for shard, record in found]


def evaluation_dataset(
    folder: str,
    masking: MaskingConfig,
    batch_size: int,
    seed: int = 0,
    flag: str = "--eval_data",
    num_threads: int = 1,
    skipped: Skipped | None = None,
) -> tf.data.Dataset:
    """Every record once, in order, with the same masks each time the dataset is read.

    Args:
        folder: a record folder.
        masking: how pieces to predict are chosen.
        batch_size: B. The last batch is filled with empty rows, all of whose weights are 0.
        seed: of the masks, together with the number of the batch; the same for all runs that are to be compared.
        flag: where `folder` came from, for messages.
        num_threads: threads of the pipeline.
        skipped: as in `training_dataset`.

    Returns:
        A finite dataset of `features.pretraining_batch` with static shapes.

    Raises:
        FileNotFoundError, ValueError: see `training_dataset`.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1. Received: {batch_size}")
    source = _open(folder, masking, flag, allow_damage=skipped is not None)
    mask_seed = _stream_seed(seed, _MASK_STREAM)

    def to_batch(number: tf.Tensor, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        padded = tf.pad(serialized, [[0, batch_size - tf.shape(serialized)[0]]], constant_values="")
        rows = source.parse(tf.ensure_shape(padded, [batch_size]))
        batch_seed = tf.random.experimental.stateless_fold_in(mask_seed, number)
        return mask_batch(rows, masking, source.predictions, source.vocabulary, batch_seed)

    shards = _ShardReader(source.folder, source.manifest, skipped)
    sizes = tf.constant([shard.records for shard in source.manifest.shards], tf.int64)
    return (
        tf.data.Dataset.range(len(source.manifest.shards))
        .flat_map(lambda shard: shards.read(shard, tf.constant(0, tf.int64), sizes[shard]))
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
    """An opened record folder."""

    folder: str
    manifest: Manifest
    vocabulary: MaskingVocabulary
    predictions: int

    def parse(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `parse_rows`."""
        return parse_rows(serialized, self.folder, self.manifest)


def _open(folder: str, masking: MaskingConfig, flag: str, allow_damage: bool) -> _Source:
    manifest = read_manifest(folder, flag, allow_damage)
    vocabulary = MaskingVocabulary.of(read_vocabulary(folder, manifest, flag))
    return _Source(folder, manifest, vocabulary, num_predictions(masking, manifest.max_seq_length))


class _ShardReader:
    """Reads stretches of shards; records known to be unusable come as empty strings, which become empty rows."""

    def __init__(self, folder: str, manifest: Manifest, skipped: Skipped | None) -> None:
        self._paths = tf.constant([os.path.join(folder, shard.file_name) for shard in manifest.shards])
        self._records = tf.constant([shard.records for shard in manifest.shards], tf.int64)
        self._damage_allowed = skipped is not None
        # Rows of shard, first record, records, usable or not: each shard from end to end.
        self._runs = tf.constant(
            [
                (index, *run)
                for index, shard in enumerate(manifest.shards)
                for run in _runs(shard.records, (skipped or {}).get(shard.file_name, ()))
            ],
            tf.int64,
        )

    def read(self, shard: tf.Tensor, first: tf.Tensor, records: tf.Tensor) -> tf.data.Dataset:
        """Strings: `records` records of a shard, from number `first` on."""
        if not self._damage_allowed:
            return self._read_usable(shard, first, records)

        def read_run(run: tf.Tensor) -> tf.data.Dataset:
            start = tf.maximum(run[1], first)
            size = tf.minimum(run[1] + run[2], first + records) - start
            size = tf.maximum(size, 0)
            empty = tf.data.Dataset.from_tensors("").repeat(size * (1 - run[3]))
            # A data set that is not read from opens no file, so a run that cannot be read is never begun.
            usable = tf.data.Dataset.range(tf.cast(size * run[3] > 0, tf.int64)).flat_map(
                lambda _: self._read_usable(shard, start, size)
            )
            return empty.concatenate(usable)

        runs = tf.boolean_mask(self._runs, self._runs[:, 0] == shard)
        return tf.data.Dataset.from_tensor_slices(runs).flat_map(read_run)

    def _read_usable(self, shard: tf.Tensor, first: tf.Tensor, records: tf.Tensor) -> tf.data.Dataset:
        # A shard that ends early must not pass for one that was read, nor one that goes on behind its last record:
        # at the end of a shard one record more is asked for, and must not be there.
        surplus = tf.cast(first + records == self._records[shard], tf.int64) * (1 - self._damage_allowed)
        whole = tf.data.TFRecordDataset(self._paths[shard], buffer_size=_READ_BYTES).skip(first)
        return whole.take(records + surplus).apply(tf.data.experimental.assert_cardinality(records))


def _runs(records: int, skipped: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """A shard's records as runs (first record, records, 1 if they are usable, else 0), without empty ones."""
    runs, place = [], 0
    for first, count in sorted(skipped):
        runs += [(place, first - place, 1), (first, count, 0)]
        place = first + count
    return [run for run in (*runs, (place, records - place, 1)) if run[1]]


class _RecordNumbers:
    """Gives, in place of records, which ones they are."""

    def read(self, shard: tf.Tensor, first: tf.Tensor, records: tf.Tensor) -> tf.data.Dataset:
        """Int64 numbers: shard * `_RECORDS_OF_A_SHARD` + record."""
        start = shard * _RECORDS_OF_A_SHARD + first
        return tf.data.Dataset.range(start, start + records)


class _LaneReader:
    """Reads lanes: `read(lane, row)` is the lane's endless stream of records from row number `row` on."""

    def __init__(self, shards: _ShardReader | _RecordNumbers, manifest: Manifest, lanes: int, seed: int) -> None:
        segments = [_lane_segments(manifest, lane, lanes) for lane in range(lanes)]
        width = max(map(len, segments))
        # [lanes, S, 3] shard, first record, records; padded with segments of no record.
        table = np.zeros((lanes, width, 3), np.int64)
        for lane, rows in enumerate(segments):
            table[lane, : len(rows)] = rows
        self._table = tf.constant(table)
        self._records_in_lane = tf.constant(table[:, :, 2].sum(axis=1))
        self._shards = shards
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
                .flat_map(lambda segment: self._shards.read(segment[0], segment[1], segment[2]))
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
