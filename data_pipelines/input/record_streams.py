"""Record streams: endless streams of rows, each a seeded order of its own range of the records.

Any position of a stream is reached without reading the records before it, except for those before it in one shard.
Axes: S segments of a stream, which are stretches of shards.
"""

import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from data_pipelines.records.manifest import Manifest

WINDOW_RECORDS = 2048
_READ_BYTES = 1 << 20
_RECORDS_PARSED_TOGETHER = 512  # their strings stay in the cache

Rows = Mapping[str, tf.Tensor]
"""Parsed records by feature, as `records.parsing.parse_rows` returns them."""

Skipped = Mapping[str, Sequence[tuple[int, int]]]
"""The unusable stretches of each shard by its file name, as (first record, number of records)."""

RECORDS_OF_A_SHARD = 1 << 32
"""The factor of the shard's number in the number of a record, which is more than any shard's number of records."""

# The numbers of the random streams drawn from the training seed.
_ORDER_STREAM, _WINDOW_STREAM, MASK_STREAM = 0, 1, 2


def stream_seed(seed: int, stream: int) -> tf.Tensor:
    """Return the seed of one random stream, int64 [2]."""
    return tf.constant([seed, stream], tf.int64)


class ShardReader:
    """A reader of stretches of shards. It returns empty strings, which become empty rows, for unusable records."""

    def __init__(self, folder: str, manifest: Manifest, skipped: Skipped | None) -> None:
        self._paths = tf.constant([os.path.join(folder, shard.file_name) for shard in manifest.shards])
        self._records = tf.constant([shard.records for shard in manifest.shards], tf.int64)
        self._damage_allowed = skipped is not None
        # Each row holds shard, first record, number of records, and 1 if they are usable; together they cover all
        # shards.
        self._runs = tf.constant(
            [
                (index, *run)
                for index, shard in enumerate(manifest.shards)
                for run in _runs(shard.records, (skipped or {}).get(shard.file_name, ()))
            ],
            tf.int64,
        )

    def read(self, shard: tf.Tensor, first: tf.Tensor, records: tf.Tensor) -> tf.data.Dataset:
        """Return `records` records of a shard, from number `first` on, as strings."""
        if not self._damage_allowed:
            return self._read_usable(shard, first, records)

        def read_run(run: tf.Tensor) -> tf.data.Dataset:
            start = tf.maximum(run[1], first)
            size = tf.minimum(run[1] + run[2], first + records) - start
            size = tf.maximum(size, 0)
            empty = tf.data.Dataset.from_tensors("").repeat(size * (1 - run[3]))
            # A data set opens its file only when it is read, so the file of an unusable run is never opened.
            usable = tf.data.Dataset.range(tf.cast(size * run[3] > 0, tf.int64)).flat_map(
                lambda _: self._read_usable(shard, start, size)
            )
            return empty.concatenate(usable)

        runs = tf.boolean_mask(self._runs, self._runs[:, 0] == shard)
        return tf.data.Dataset.from_tensor_slices(runs).flat_map(read_run)

    def _read_usable(self, shard: tf.Tensor, first: tf.Tensor, records: tf.Tensor) -> tf.data.Dataset:
        # A shard with fewer or more records than the manifest says must not pass unnoticed. So one more record is
        # requested at the end of a shard, where none may exist.
        surplus = tf.cast(first + records == self._records[shard], tf.int64) * (1 - self._damage_allowed)
        whole = tf.data.TFRecordDataset(self._paths[shard], buffer_size=_READ_BYTES).skip(first)
        return whole.take(records + surplus).apply(tf.data.experimental.assert_cardinality(records))


def _runs(records: int, skipped: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Return a shard's records as runs (first record, records, 1 if they are usable, else 0), without empty ones."""
    runs, place = [], 0
    for first, count in sorted(skipped):
        runs += [(place, first - place, 1), (first, count, 0)]
        place = first + count
    return [run for run in (*runs, (place, records - place, 1)) if run[1]]


class RecordNumbers:
    """A reader that yields the numbers of records instead of the records."""

    def read(self, shard: tf.Tensor, first: tf.Tensor, records: tf.Tensor) -> tf.data.Dataset:
        """Return int64 numbers: shard * `RECORDS_OF_A_SHARD` + record."""
        start = shard * RECORDS_OF_A_SHARD + first
        return tf.data.Dataset.range(start, start + records)


class StreamReader:
    """A reader of record streams, which reads the endless rows of a stream from any number on."""

    def __init__(
        self,
        shards: ShardReader | RecordNumbers,
        parse: Callable[[tf.Tensor], Rows],  # takes serialized records, or numbers of records
        manifest: Manifest,
        *,
        streams: int,
        seed: int,
    ) -> None:
        segments = [_stream_segments(manifest, stream, streams) for stream in range(streams)]
        width = max(map(len, segments))
        # [streams, S, 3] shard, first record, number of records, padded with empty segments.
        table = np.zeros((streams, width, 3), np.int64)
        for stream, rows in enumerate(segments):
            table[stream, : len(rows)] = rows
        self._table = tf.constant(table)
        self._records_in_stream = tf.constant(table[:, :, 2].sum(axis=1))
        self._shards = shards
        self._parse = parse
        self._order_seed = stream_seed(seed, _ORDER_STREAM)
        self._window_seed = stream_seed(seed, _WINDOW_STREAM)

    def read(self, stream: tf.Tensor, row: int) -> tf.data.Dataset:
        """Return rows of whole or partial windows, from row number `row` of the stream on, counted over epochs."""
        first_epoch = row // self._records_in_stream[stream]
        row_in_epoch = row % self._records_in_stream[stream]
        first_window = row_in_epoch // WINDOW_RECORDS

        def read_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            is_first = epoch == first_epoch
            window = tf.where(is_first, first_window, 0)
            skipped = tf.where(is_first, row_in_epoch % WINDOW_RECORDS, 0)
            rows = (
                self._segments_from(stream, epoch, window * WINDOW_RECORDS)
                .flat_map(lambda segment: self._shards.read(segment[0], segment[1], segment[2]))
                .batch(_RECORDS_PARSED_TOGETHER)
                .map(self._parse)
                .rebatch(WINDOW_RECORDS)
            )
            # `enumerate` would optimize a graph each time that it is called, which takes ten milliseconds an epoch.
            numbers = tf.data.Dataset.range(window, tf.int64.max)
            return tf.data.Dataset.zip(numbers, rows).map(
                lambda number, rows: self._shuffle(stream, epoch, number, rows, tf.where(number == window, skipped, 0))
            )

        return tf.data.Dataset.counter(first_epoch).flat_map(read_epoch)

    def _segments_from(self, stream: tf.Tensor, epoch: tf.Tensor, row: tf.Tensor) -> tf.data.Dataset:
        """Return the epoch's segments in their random order, without the `row` records that were read already."""
        segments = self._table[stream]
        scores = tf.random.stateless_uniform([segments.shape[0]], _fold(self._order_seed, stream, epoch))
        segments = tf.gather(segments, tf.argsort(scores, stable=True))
        records = segments[:, 2]
        skip = tf.clip_by_value(row - tf.cumsum(records, exclusive=True), 0, records)
        segments = tf.stack([segments[:, 0], segments[:, 1] + skip, records - skip], axis=1)
        return tf.data.Dataset.from_tensor_slices(segments).filter(lambda segment: segment[2] > 0)

    def _shuffle(self, stream: tf.Tensor, epoch: tf.Tensor, number: tf.Tensor, rows: Rows, skipped: tf.Tensor) -> Rows:
        """Return a window's rows in their random order, without the first `skipped`."""
        seed = _fold(self._window_seed, stream, epoch, number)
        size = tf.shape(next(iter(rows.values())))[0]
        order = tf.argsort(tf.random.stateless_uniform([size], seed), stable=True)[skipped:]
        return {name: tf.gather(values, order) for name, values in rows.items()}


def _fold(seed: tf.Tensor, *numbers: tf.Tensor) -> tf.Tensor:
    for number in numbers:
        seed = tf.random.experimental.stateless_fold_in(seed, number)
    return seed


def _stream_segments(manifest: Manifest, stream: int, streams: int) -> list[tuple[int, int, int]]:
    """Return the stream's range of records as (shard, first record in it, number of records)."""
    start = stream * manifest.num_records // streams
    end = (stream + 1) * manifest.num_records // streams
    segments = []
    shard_start = 0
    for index, shard in enumerate(manifest.shards):
        first, last = max(start, shard_start), min(end, shard_start + shard.records)
        if first < last:
            segments.append((index, first - shard_start, last - first))
        shard_start += shard.records
    return segments
