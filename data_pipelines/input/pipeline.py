"""The input pipeline: record folder -> batches of static shape, a pure function of (manifest, seed, step).

    shards -> streams (each a seeded order of its own records) -> parse -> interleave -> batch -> mask, mix -> prefetch

The records, in the manifest's order, are cut into a fixed number of equal ranges, one for each stream. A stream reads
its range again and again. In each epoch, it visits its stretches of shards in another order and shuffles the records
within windows. A batch takes the same number of rows from each stream, and each pipeline owns whole streams. So batch s
can be read without the batches before it: epoch, shard, position and window follow from s and the manifest.

Records are parsed as soon as they are read, because a few dense tensors move faster than a string for each record.
Axes: B batch, L length, K sequences in a row, P predictions, S segments of a stream.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from bert_tf import features
from bert_tf.configs import MaskingConfig, MixtureConfig
from data_pipelines.input.masking import MaskingVocabulary, PartOfBatches, mask_batch, num_predictions
from data_pipelines.input.mixture import mixed
from data_pipelines.input.record_streams import (
    MASK_STREAM,
    RECORDS_OF_A_SHARD,
    RecordNumbers,
    Rows,
    ShardReader,
    Skipped,
    StreamReader,
    stream_seed,
)
from data_pipelines.records.manifest import Manifest, read_manifest, read_vocabulary
from data_pipelines.records.parsing import parse_rows

MAX_STREAMS = 16
_TOKENS_TOGETHER = 1 << 17  # 1,024 rows of 128; more would not fit into the cache
_BIDIRECTIONAL = MixtureConfig()


def static_batch_spec(
    folder: str, masking: MaskingConfig, batch_size: int, mixture: MixtureConfig = _BIDIRECTIONAL
) -> dict[str, features.Feature]:
    """Return the shapes and dtypes of a folder's batches (`features.pretraining_batch`), from its manifest alone.

    Raises:
        FileNotFoundError, ValueError: as `manifest.read_manifest`.
    """
    manifest = read_manifest(folder)
    return features.pretraining_batch(
        batch_size,
        manifest.max_seq_length,
        num_predictions(masking, manifest.max_seq_length),
        max_sequences_per_row=manifest.max_sequences_per_row,
        ordered=not mixture.is_bidirectional,
    )


def number_of_streams(batch_size: int, num_records: int) -> int:
    """Return the number of streams for a batch size: the largest power of two, at most 16, that divides it."""
    streams = math.gcd(batch_size, MAX_STREAMS)
    while streams > num_records:
        streams //= 2
    return streams


def training_dataset(
    folder: str,
    masking: MaskingConfig,
    batch_size: int,
    *,
    seed: int,
    start_step: int = 0,
    input_pipeline_id: int = 0,
    num_input_pipelines: int = 1,
    num_threads: int = 1,
    skipped: Skipped | None = None,
    mixture: MixtureConfig = _BIDIRECTIONAL,
) -> tf.data.Dataset:
    """Return endless training batches, from that of step `start_step` on.

    The batch of a step depends only on the manifest, `masking`, `mixture`, `batch_size`, `seed` and the step. Each
    stream reads each of its records once an epoch. The batches of several pipelines (one a host), put together in their
    order, equal the batch of a single pipeline, masks and kinds of rows included.

    Args:
        folder: the record folder.
        masking: the settings of masking.
        batch_size: B, the number of rows in the global batch. With several pipelines, each yields its part of them.
        seed: the seed of order and masks.
        start_step: the number of the first batch. Any step is reached in well under a second.
        input_pipeline_id: the number of this pipeline, from 0.
        num_input_pipelines: the number of pipelines that read together, a divisor of the number of streams.
        num_threads: the number of threads of the pipeline. One thread leaves the other cores to the step.
        skipped: the records that cannot be used; None to stop at the first one. Each is replaced by an empty row, whose
            weights are all 0. No other row of any batch changes.
        mixture: the kinds of rows.

    Returns:
        A dataset of `features.pretraining_batch` with static shapes. Reading raises `tf.errors.DataLossError` on a
        corrupt record and `tf.errors.InvalidArgumentError` on one that contradicts the manifest.

    Raises:
        FileNotFoundError: the folder, its manifest or a shard is missing.
        ValueError: the folder contradicts its manifest, or the batch size cannot be divided over the pipelines.
    """
    source = _open(folder, masking, allow_damage=skipped is not None)
    if batch_size < 1 or start_step < 0:
        raise ValueError(
            f"`batch_size` must be at least 1 and `start_step` at least 0. Received: {batch_size} and {start_step}"
        )
    streams = number_of_streams(batch_size, source.manifest.num_records)
    own_streams = _own_streams(streams, batch_size, input_pipeline_id, num_input_pipelines)
    # Several small batches are made at a time, because the cost of an operation hardly depends on a few rows.
    steps = max(1, _TOKENS_TOGETHER // (batch_size * source.manifest.max_seq_length))
    rows_per_stream = batch_size // streams
    first_group = start_step // steps
    shards = ShardReader(source.folder, source.manifest, skipped)
    reader = StreamReader(shards, source.parse, source.manifest, streams=streams, seed=seed)
    mask_seed = stream_seed(seed, MASK_STREAM)

    def read_stream(stream: tf.Tensor) -> tf.data.Dataset:
        rows = reader.read(stream, first_group * steps * rows_per_stream)
        return rows.rebatch(steps * rows_per_stream, drop_remainder=True)

    part = PartOfBatches(len(own_streams) * rows_per_stream, own_streams.start * rows_per_stream, batch_size, steps)

    def to_batches(group: tf.Tensor, rows: Rows) -> dict[str, tf.Tensor]:
        """Turn [own streams, steps x rows of a stream, ...] into batches [steps, rows, ...], or into a single batch."""
        rows = {name: _step_by_step(values, steps, rows_per_stream) for name, values in rows.items()}
        batch = mask_batch(
            rows,
            masking,
            predictions=source.predictions,
            vocabulary=source.vocabulary,
            seed=tf.random.experimental.stateless_fold_in(mask_seed, group),
            part=part,
        )
        batch = mixed(batch, part.row_numbers(group * steps), mixture)
        if steps == 1:
            return batch
        return {name: tf.reshape(values, [steps, part.rows, values.shape[1]]) for name, values in batch.items()}

    groups = (
        tf.data.Dataset.range(own_streams.start, own_streams.stop)
        .interleave(read_stream, cycle_length=len(own_streams), block_length=1)
        .batch(len(own_streams), drop_remainder=True)
        .enumerate(first_group)
        .map(to_batches)
    )
    if steps > 1:
        groups = groups.prefetch(1).unbatch().skip(start_step - first_group * steps)
    return groups.prefetch(2).with_options(_options(num_threads))


def _own_streams(streams: int, batch_size: int, input_pipeline_id: int, num_input_pipelines: int) -> range:
    """Return the numbers of the streams that a pipeline reads: the same number for each pipeline."""
    if num_input_pipelines < 1 or streams % num_input_pipelines:
        raise ValueError(
            f"`num_input_pipelines` must divide the {streams} streams of `batch_size` {batch_size} (the largest power "
            f"of two up to {MAX_STREAMS} that divides it). Received: {num_input_pipelines}"
        )
    if not 0 <= input_pipeline_id < num_input_pipelines:
        raise ValueError(
            f"`input_pipeline_id` must be between 0 and {num_input_pipelines - 1}. Received: {input_pipeline_id}"
        )
    own = streams // num_input_pipelines
    return range(input_pipeline_id * own, (input_pipeline_id + 1) * own)


def records_of_batch(folder: str, batch_size: int, *, seed: int, step: int) -> list[tuple[str, int]]:
    """Return the shard and the number, from 0, of each record in the batch that `training_dataset` gives for a step."""
    manifest = read_manifest(folder, allow_damage=True)
    streams = number_of_streams(batch_size, manifest.num_records)
    rows_per_stream = batch_size // streams
    reader = StreamReader(RecordNumbers(), lambda numbers: {"number": numbers}, manifest, streams=streams, seed=seed)
    found = []
    for stream in range(streams):
        rows = reader.read(tf.constant(stream, tf.int64), step * rows_per_stream).unbatch().take(rows_per_stream)
        found += [divmod(int(row["number"]), RECORDS_OF_A_SHARD) for row in rows]
    return [(manifest.shards[shard].file_name, record) for shard, record in found]


def evaluation_dataset(
    folder: str,
    masking: MaskingConfig,
    batch_size: int,
    *,
    seed: int = 0,
    num_threads: int = 1,
    skipped: Skipped | None = None,
    mixture: MixtureConfig = _BIDIRECTIONAL,
) -> tf.data.Dataset:
    """Return every record once, in order, with the same masks each time the dataset is read.

    Args:
        folder: the record folder.
        masking: the settings of masking.
        batch_size: B. The last batch is filled with empty rows, whose weights are all 0.
        seed: the seed of the masks. Runs to be compared need the same seed.
        num_threads: the number of threads of the pipeline.
        skipped: as in `training_dataset`.
        mixture: the kinds of rows.

    Returns:
        A finite dataset of `features.pretraining_batch` with static shapes.

    Raises:
        FileNotFoundError, ValueError: as `training_dataset`.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size}")
    source = _open(folder, masking, allow_damage=skipped is not None)
    mask_seed = stream_seed(seed, MASK_STREAM)

    def to_batch(number: tf.Tensor, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        padded = tf.pad(serialized, [[0, batch_size - tf.shape(serialized)[0]]], constant_values="")
        rows = source.parse(tf.ensure_shape(padded, [batch_size]))
        batch_seed = tf.random.experimental.stateless_fold_in(mask_seed, number)
        batch = mask_batch(rows, masking, predictions=source.predictions, vocabulary=source.vocabulary, seed=batch_seed)
        return mixed(batch, number * batch_size + tf.range(batch_size, dtype=tf.int64), mixture)

    shards = ShardReader(source.folder, source.manifest, skipped)
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


def _step_by_step(values: tf.Tensor, steps: int, rows_per_stream: int) -> tf.Tensor:
    """Order rows by step: [streams, steps x rows, N] -> [steps x streams x rows, N]."""
    streams, _, width = values.shape
    # A gather of whole rows, because oneDNN prints an error where a transposition of 16-bit integers falls back.
    order = np.arange(streams * steps).reshape(streams, steps).T.reshape(-1)
    by_step = tf.gather(tf.reshape(values, [streams * steps, rows_per_stream * width]), order)
    return tf.reshape(by_step, [steps * streams * rows_per_stream, width])


def _options(num_threads: int) -> tf.data.Options:
    """Return options that make `num_threads` threads run the pipeline ahead of the step."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    options.threading.private_threadpool_size = num_threads
    options.threading.max_intra_op_parallelism = 1
    return options


@dataclasses.dataclass(frozen=True)
class _Source:
    """An opened record folder."""

    folder: str
    manifest: Manifest
    vocabulary: MaskingVocabulary
    predictions: int

    def parse(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """Parse records; see `parse_rows`."""
        return parse_rows(serialized, self.folder, self.manifest)


def _open(folder: str, masking: MaskingConfig, allow_damage: bool) -> _Source:
    manifest = read_manifest(folder, allow_damage=allow_damage)
    vocabulary = MaskingVocabulary.of(read_vocabulary(folder, manifest))
    return _Source(folder, manifest, vocabulary, num_predictions(masking, manifest.max_seq_length))
