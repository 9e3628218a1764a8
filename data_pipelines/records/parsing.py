"""The parser of records: serialized records -> rows, checked against the manifest.

Axes: B batch, L length, K sequences in a row.
"""

import tensorflow as tf

from bert_tf import features
from data_pipelines.records.manifest import Manifest, token_dtype

_PER_SEQUENCE = (
    features.RECORD_SEQUENCE_LENGTHS,
    features.RECORD_FIRST_SEGMENT_LENGTHS,
    features.RECORD_NEXT_SENTENCE_LABELS,
)


def parse_rows(serialized: tf.Tensor, folder: str, manifest: Manifest) -> dict[str, tf.Tensor]:
    """Parse serialized records, strings [B], into rows for `masking.encoder_features`. "" becomes an empty row.

    All records are parsed at once, which is several times as fast as one by one. Token ids keep the narrow dtype that
    they have on disk, so that rows can be shuffled and joined cheaply.

    Returns:
        `input_ids` [B, L], uint16 or int32 (`manifest.token_dtype`); `sequence_lengths`, `first_segment_lengths` and
        `next_sentence_labels`, int32 [B, K]. If a segmenter found the words, `continues` uint8 [B, L].

    Raises:
        tf.errors.InvalidArgumentError: a record cannot be parsed or contradicts the manifest. It is raised when the
            operation runs.
    """
    length, num_sequences = manifest.max_seq_length, manifest.max_sequences_per_row
    dtype = token_dtype(manifest.vocab_size)
    per_sequence = tf.io.FixedLenFeature([num_sequences], tf.int64, [0] * num_sequences)
    strings = [features.RECORD_INPUT_IDS, *([features.RECORD_CONTINUES] if manifest.is_segmented else [])]
    parsed = tf.io.parse_example(
        serialized,
        dict.fromkeys(strings, tf.io.FixedLenFeature([], tf.string, "")) | dict.fromkeys(_PER_SEQUENCE, per_sequence),
    )
    raw = parsed[features.RECORD_INPUT_IDS]
    tokens = tf.io.decode_raw(raw, tf.as_dtype(dtype), fixed_length=length * dtype.itemsize)
    rows = {name: tf.cast(parsed[name], tf.int32) for name in _PER_SEQUENCE}
    lengths, first_lengths, _ = rows.values()
    row_lengths = tf.reduce_sum(lengths, axis=1)
    where = f"{folder}: the records contradict {folder}/manifest.json: "
    checks = [
        tf.debugging.assert_equal(
            tf.strings.length(raw), row_lengths * dtype.itemsize, where + "bytes of a row and sequence_lengths"
        ),
        tf.debugging.assert_less_equal(row_lengths, length, where + "a row is longer than max_seq_length"),
        tf.debugging.assert_less_equal(
            first_lengths, lengths, where + "a first segment is longer than its sequence", summarize=4
        ),
        tf.debugging.assert_non_negative(first_lengths, where + "a length is negative", summarize=4),
        tf.debugging.assert_less(
            tf.cast(tf.reduce_max(tokens), tf.int32), manifest.vocab_size, where + "a token id is not below vocab_size"
        ),
    ]
    rows["input_ids"] = tokens
    if manifest.is_segmented:
        bits = parsed[features.RECORD_CONTINUES]
        rows[features.RECORD_CONTINUES] = _unpacked(bits, length)
        what = where + "bits of continues and sequence_lengths"
        checks.append(tf.debugging.assert_equal(tf.strings.length(bits), -(-row_lengths // 8), what))
    with tf.control_dependencies([check for check in checks if check is not None]):
        return {name: tf.identity(value) for name, value in rows.items()}


def _unpacked(bits: tf.Tensor, length: int) -> tf.Tensor:
    """Return bits, the lowest of each byte first, as uint8 [B, length]; what a row lacks is 0."""
    packed = tf.io.decode_raw(bits, tf.uint8, fixed_length=-(-length // 8))
    unpacked = tf.bitwise.right_shift(packed[:, :, None], tf.constant([*range(8)], tf.uint8)) & 1
    return tf.reshape(unpacked, [-1, 8 * packed.shape[1]])[:, :length]
