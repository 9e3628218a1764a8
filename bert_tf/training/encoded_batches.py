"""Training batches of encoded examples: a pure function of (examples, seed, step), in few shapes.

Shapes: N rows, B batch, L length.
"""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from bert_tf.tasks.encoded import EncodedExamples, position_names, weight_names
from bert_tf.training.batch_shards import BatchShard

_WHOLE = BatchShard()
_MOST_BATCHES_TOGETHER = 64
_LEAST_RUNS = 4
_BATCHES_AHEAD = 4


def steps_per_epoch(rows: EncodedExamples, batch_size: int) -> int:
    """Return the number of batches in which every row occurs once."""
    return -(-len(rows) // batch_size)


def batches_together(steps: int) -> int:
    """Return the number of an epoch's batches that are cut from rows sorted by length together.

    It is large enough for rows of similar length to meet, and at most a quarter of the epoch, as in `Trainer` of
    transformers. Rows of one length often have one origin, such as the questions on a paragraph. If all rows were
    sorted together, these rows would be in one batch, and in the same batch in every epoch.

    Args:
        steps: the number of batches in an epoch.
    """
    return max(1, min(_MOST_BATCHES_TOGETHER, steps // _LEAST_RUNS))


def training_dataset(
    rows: EncodedExamples, batch_size: int, *, seed: int, start_step: int = 0, shard: BatchShard = _WHOLE
) -> tf.data.Dataset:
    """Return endless batches, in which each epoch of `steps_per_epoch` batches has every row once, in another order.

    Rows are shuffled, those of a group (`EncodedExamples.group_size`) together. Then the rows of `batches_together`
    batches at a time are sorted by length and cut into batches, from long rows to short ones, as `LengthGroupedSampler`
    of transformers does (experiments/benchmarks/README.md compares this with batches that are shuffled again). So a
    batch holds rows of similar length, and its length is the shortest of `rows.bucket_lengths` that holds them. The
    longest batches come first, so that a lack of memory shows early. The last batch of an epoch is filled up with rows
    of weight 0. Batch s depends on (rows, seed, s) alone: a data set that starts at step s gives the same batches as
    one that started at 0, at no cost.

    Args:
        rows: the encoded examples of a task.
        batch_size: B, static.
        seed: the random seed of the order.
        start_step: the step of the first batch.
        shard: the rows of each batch to read; all by default.

    Returns:
        Batches of the encoder's inputs, int32 [B, L], and the rows' labels. L is static if there is only one length.

    Raises:
        ValueError: there is no row, a number is out of range, or a batch would divide a group.
    """
    if not len(rows):
        raise ValueError("`rows` must hold at least one row. Received: none")
    if batch_size < 1 or start_step < 0:
        raise ValueError(
            "`batch_size` must be at least 1 and `start_step` at least 0. "
            f"Received: batch_size={batch_size}, start_step={start_step}"
        )
    rows.check_batch_size("batch_size", batch_size)
    steps = steps_per_epoch(rows, batch_size)
    first_epoch, skipped = divmod(start_step, steps)

    def batches_of(epoch: tf.Tensor) -> tf.data.Dataset:
        order = _epoch_order(rows, batch_size, steps, seed, epoch)
        return tf.data.Dataset.from_tensor_slices(order[tf.where(epoch == first_epoch, skipped, 0) :])

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    batches = shard.of(epochs.flat_map(batches_of).map(batch_gatherer(rows, batch_size))).prefetch(_BATCHES_AHEAD)
    options = tf.data.Options()
    # Nothing here needs tuning, and an iterator with a tuning thread may wait a minute for this thread at its end.
    options.autotune.enabled = False
    return batches.with_options(options)


def rows_of_batch(rows: EncodedExamples, batch_size: int, *, seed: int, step: int) -> list[int]:
    """Return the numbers of the rows, without fillers, in the batch that `training_dataset` gives for a step."""
    steps = steps_per_epoch(rows, batch_size)
    epoch, place = divmod(step, steps)
    order = _epoch_order(rows, batch_size, steps, seed, tf.constant(epoch, tf.int64))
    return [number for number in order[place].numpy().tolist() if number >= 0]


def _epoch_order(rows: EncodedExamples, batch_size: int, steps: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Return the numbers of the rows in the batches of an epoch, int64 [steps, B]. -1 fills the last batch up."""
    # The seeds are even, because odd seeds ordered the batches in earlier versions.
    seeds = tf.stack([tf.constant(2 * seed, tf.int64), epoch])
    size = rows.group_size
    numbers = tf.range(len(rows) // size, dtype=tf.int64)  # of groups, which are single rows in most tasks
    order = tf.random.experimental.stateless_shuffle(numbers, seed=seeds, alg="philox")
    if len(rows.bucket_lengths) > 1:
        run = numbers // (batch_size // size * batches_together(steps))
        lengths = tf.gather(tf.constant(rows.group_lengths, tf.int64), order)
        order = tf.gather(order, tf.argsort((run + 1) * (int(rows.lengths.max()) + 1) - lengths, stable=True))
    if size > 1:
        order = tf.reshape(order[:, None] * size + tf.range(size, dtype=tf.int64), [-1])
    order = tf.concat([order, tf.fill([steps * batch_size - len(rows)], tf.constant(-1, tf.int64))], axis=0)
    return tf.reshape(order, [steps, batch_size])


def batch_gatherer(rows: EncodedExamples, batch_size: int) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Return a function from row numbers to their batch, which is `EncodedExamples.batch` in TensorFlow operations."""
    buckets = tf.constant(rows.bucket_lengths, tf.int32)
    lengths = tf.constant(rows.lengths, tf.int32)
    most = rows.bucket_lengths[-1]
    static_length = most if len(rows.bucket_lengths) == 1 else None
    tokens = {
        name: tf.constant(
            np.pad(
                array,
                ((0, 0), (0, most - array.shape[1]), *[(0, 0)] * (array.ndim - 2)),
                constant_values=rows.pad_id if name == "input_ids" else 0,
            )
        )
        for name, array in rows.token_features.items()
    }
    values = {name: tf.constant(array) for name, array in rows.example_features.items()}

    def gather(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        numbers = tf.ensure_shape(numbers, [batch_size])
        chosen = tf.maximum(numbers, 0)
        real = numbers >= 0
        row_lengths = tf.gather(lengths, chosen)
        longest = tf.reduce_max(tf.where(real, row_lengths, 0))
        length = most if static_length else buckets[tf.searchsorted(buckets, longest[None])[0]]
        batch = {name: tf.gather(array, chosen)[:, :length] for name, array in tokens.items()}
        for name in batch:
            batch[name].set_shape([batch_size, static_length, *batch[name].shape[2:]])
        batch |= {name: tf.gather(array, chosen) for name, array in values.items()}
        for name in weight_names(batch):
            batch[name] *= tf.reshape(tf.cast(real, batch[name].dtype), [-1] + [1] * (batch[name].shape.rank - 1))
        for name in position_names(batch):
            batch[name] = tf.minimum(batch[name], length - 1)
        positions = tf.range(length, dtype=tf.int32)
        batch.setdefault("input_mask", tf.cast(positions < row_lengths[:, None], tf.int32))
        batch.setdefault("position_ids", tf.broadcast_to(positions, [batch_size, length]))
        for name in ("input_mask", "position_ids"):
            batch[name].set_shape([batch_size, static_length])
        return batch

    return gather


def capacity(batch_size: int, parts: int = 1) -> int:
    """Return the rows of a batch: more than a sample ever has, except with a probability below 1e-12 a step.

    Args:
        batch_size: the expected number of examples.
        parts: the number of parts of equal size that a batch is computed in.
    """
    most = batch_size + math.ceil(8 * math.sqrt(batch_size)) + 8
    return -(-most // parts) * parts


def poisson_dataset(
    rows: EncodedExamples, batch_size: int, seed: int, *, parts: int = 1, start_step: int = 0
) -> tf.data.Dataset:
    """Return endless batches, each of every row with probability `batch_size` / rows, filled up with rows of weight 0.

    Batch s depends on (rows, seed, s) alone.

    Args:
        rows: the encoded examples.
        batch_size: the expected number of rows in a batch.
        seed: the seed, an int64.
        parts: as in `capacity`.
        start_step: the step of the first batch.
    """
    size = capacity(batch_size, parts)
    word = tf.constant(seed, tf.int64)

    def numbers_of(step: tf.Tensor) -> tf.Tensor:
        draws = tf.random.stateless_uniform([len(rows)], tf.stack([word, step]), dtype=tf.float64)
        chosen = tf.where(draws * len(rows) < batch_size)[:size, 0]
        return tf.concat([chosen, tf.fill([size - tf.size(chosen)], tf.constant(-1, tf.int64))], axis=0)

    steps = tf.data.Dataset.counter(start_step)
    return steps.map(numbers_of).map(batch_gatherer(rows, size)).prefetch(2)
