"""The masking of whole batches: unmasked rows become masked-LM targets and the encoder's features.

There is no state: the same rows and seed give the same batch, in eager code, in tf.data and in a `tf.function`.

Axes: B batch, L length, K sequences in a row, P predictions in a row.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from bert_tf import features
from bert_tf.configs import MaskingConfig
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from data_pipelines.input import mask_selection

# The number of bits of a position, which are the lowest in a code that also holds segment and sequence number.
_POSITION_BITS = 16
_POSITIONS = 1 << _POSITION_BITS

# The numbers of the random streams of a batch.
_SELECTION_STREAM, _FATE_STREAM, _RANDOM_PIECE_STREAM, _SPAN_STREAM = range(4)


@dataclasses.dataclass(frozen=True)
class MaskingVocabulary:
    """The parts of a vocabulary that masking needs.

    Attributes:
        vocab_size: V.
        cls_id, sep_id: the ids of `[CLS]` and `[SEP]`, which are never masked.
        mask_id: the id of `[MASK]`.
        continuation: whether each of the V tokens continues a word (`##...`).
    """

    vocab_size: int
    cls_id: int
    sep_id: int
    mask_id: int
    continuation: tuple[bool, ...]

    @classmethod
    def of(cls, tokenizer: WordPieceTokenizer) -> "MaskingVocabulary":
        """Return the vocabulary of `tokenizer`."""
        return cls(
            vocab_size=tokenizer.vocab_size,
            cls_id=tokenizer.cls_id,
            sep_id=tokenizer.sep_id,
            mask_id=tokenizer.mask_id,
            continuation=tuple(map(bool, tokenizer.continuation)),
        )

    def token_kinds(self) -> np.ndarray:
        """Return the kind of each token for the search for words, int8 [V] (`mask_selection.TEXT` and the like)."""
        kinds = np.where(self.continuation, mask_selection.CONTINUATION, mask_selection.TEXT).astype(np.int8)
        kinds[[self.cls_id, self.sep_id]] = mask_selection.SPECIAL
        return kinds


def num_predictions(masking: MaskingConfig, max_seq_length: int) -> int:
    """Return P, the number of predictions in a row, from the configuration or else from its rate and the length.

    Raises:
        ValueError: rows are longer than masking supports.
    """
    if max_seq_length > mask_selection.MAX_ROW_LENGTH:
        raise ValueError(f"max_seq_length must be at most {mask_selection.MAX_ROW_LENGTH}. Received: {max_seq_length}")
    derived = features.predictions_per_row(masking.masked_lm_rate, max_seq_length)
    return min(masking.max_predictions_per_seq or derived, max_seq_length)


def encoder_features(rows: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return those features of a pre-training batch that do not depend on the masks.

    Args:
        rows: `input_ids` integer [B, L]; `sequence_lengths`, `first_segment_lengths`, `next_sentence_labels`
            int32 [B, K], as in the records.

    Returns:
        `input_ids`, `input_mask` (1..K on sequences, 0 on padding), `segment_ids`, `position_ids` (restarting in
        each sequence) int32 [B, L]; `next_sentence_positions`, `next_sentence_labels` int32 [B, K],
        `next_sentence_weights` float32 [B, K] (0 for missing sequences and those without a label).
    """
    input_ids, lengths = tf.cast(rows["input_ids"], tf.int32), rows["sequence_lengths"]
    length, num_sequences = input_ids.shape[1], lengths.shape[1]
    labelled = (lengths > 0) & (rows["next_sentence_labels"] != features.NO_NEXT_SENTENCE_LABEL)
    starts = tf.cumsum(lengths, axis=1, exclusive=True)
    # A row has 2K + 1 stretches: two segments of each sequence, and padding. Each stretch is a range of integers whose
    # bits hold, from the lowest up, position, segment and sequence number. The ranges of all rows together are the
    # batch. This takes one pass over the batch; comparing positions with bounds would take one pass a bound.
    first = tf.minimum(rows["first_segment_lengths"], lengths)
    code = 2 * tf.range(1, num_sequences + 1) * _POSITIONS
    segments = tf.stack([tf.broadcast_to(code, tf.shape(lengths)), code + _POSITIONS + first], axis=2)  # [B, K, 2]
    sizes = tf.stack([first, lengths - first], axis=2)
    padding = length - tf.reduce_sum(lengths, axis=1, keepdims=True)
    # Padding is a range of negative numbers, which become 0.
    segments = tf.concat([tf.reshape(segments, [-1, 2 * num_sequences]), -padding], axis=1)
    sizes = tf.concat([tf.reshape(sizes, [-1, 2 * num_sequences]), padding], axis=1)
    segments, sizes = tf.reshape(segments, [-1]), tf.reshape(sizes, [-1])
    codes = tf.reshape(tf.ragged.range(segments, segments + sizes).flat_values, [-1, length])
    codes = tf.nn.relu(tf.ensure_shape(codes, input_ids.shape))
    return {
        "input_ids": input_ids,
        "input_mask": tf.bitwise.right_shift(codes, _POSITION_BITS + 1),
        "segment_ids": tf.bitwise.right_shift(codes, _POSITION_BITS) & 1,
        "position_ids": codes & (_POSITIONS - 1),
        "next_sentence_positions": tf.where(labelled, starts, 0),
        "next_sentence_labels": tf.where(labelled, rows["next_sentence_labels"], 0),
        "next_sentence_weights": tf.cast(labelled, tf.float32),
    }


@dataclasses.dataclass(frozen=True)
class PartOfBatches:
    """The rows that are the same part of each of several batches, batch after batch.

    Attributes:
        rows: the number of rows from each batch.
        first_row: the number, in its batch, of the first of these rows.
        batch_size: the number of rows in a whole batch.
        num_batches: the number of batches.
    """

    rows: int
    first_row: int
    batch_size: int
    num_batches: int = 1

    def row_numbers(self, first_batch: tf.Tensor) -> tf.Tensor:
        """Return the numbers of the rows among all rows of all batches, int64 [num_batches x rows].

        Args:
            first_batch: the number of the first of the batches, int64.
        """
        starts = (first_batch + tf.range(self.num_batches, dtype=tf.int64)) * self.batch_size + self.first_row
        return tf.reshape(starts[:, None] + tf.range(self.rows, dtype=tf.int64), [-1])


def mask_batch(
    rows: Mapping[str, tf.Tensor],
    masking: MaskingConfig,
    *,
    predictions: int,
    vocabulary: MaskingVocabulary,
    seed: tf.Tensor,
    part: PartOfBatches | None = None,
) -> dict[str, tf.Tensor]:
    """Return a pre-training batch (`features.pretraining_batch`) from unmasked rows.

    Masking follows Devlin et al. 2018, section 3.1, and google-research/bert `create_masked_lm_predictions`. In each
    sequence, min(P, max(1, round(rate x length))) tokens are chosen; `[CLS]` and `[SEP]` count in the length but are
    never chosen. If a row's sequences want more than P predictions together, they share them in proportion. The share
    `mask_share` of the chosen tokens becomes `[MASK]`, the share `random_share` becomes a token drawn from the whole
    vocabulary, with special and unused tokens as in Google's code, and the rest stay. `masking.strategy` decides how
    tokens are chosen:

    - `token`: single tokens, all equally likely.
    - `whole_word` (google-research/bert, 2019-05-31): words in random order, where a word is a token with the `##`
      tokens after it, or a word of the segmenter (Cui et al. 2019, "Pre-Training with Whole Word Masking for Chinese
      BERT"). A word with more tokens than the sequence still wants is skipped. Each token is masked, replaced or kept
      by itself.
    - `ngram` (Lan et al. 2019, ALBERT, section 3.1): n words from a random word on. The probability of n is
      proportional to 1/n up to `max_span_words`. Each token is masked, replaced or kept by itself.
    - `span` (Joshi et al. 2020, SpanBERT, section 3.1): n words from a random word on, where n follows a geometric
      distribution with `span_probability`, cut off at `max_span_words` and scaled (mean 3.8 words by default). The
      tokens of a span are masked, replaced or kept together; random tokens differ.

    Spans do not leave their segment, and the last one is cut at the number of tokens wanted, as in SpanBERT's code.

    Args:
        rows: the rows, as in `encoder_features`. `[CLS]` and `[SEP]` occur only at the ends of segments, as in record
            folders. `continues` integer [B, L], where a segmenter found the words: 1 on the tokens that continue one.
            Without it, those are the `##` tokens.
        masking: the settings of masking.
        predictions: P.
        vocabulary: the ids of special tokens, and the tokens that continue words.
        seed: integer [2], such as (seed, step).
        part: the part of the batch that the rows are; None for a whole batch. A row's mask depends on its number in the
            whole batch.

    Returns:
        The features, int32 [B, L], [B, P] and [B, K], with float32 weights. The `masked_lm_positions` of a row differ
        and are in no particular order. Unused predictions come last; their position, id and weight are 0.
    """
    batch = encoder_features(rows)
    input_ids = batch["input_ids"]
    length = input_ids.shape[1]
    rows_in_batch = input_ids.shape[0] or tf.shape(input_ids)[0]
    uniform = _UniformNumbers(seed, part or PartOfBatches(rows_in_batch, 0, rows_in_batch))
    places, fate = _chosen(input_ids, rows, masking, predictions=predictions, vocabulary=vocabulary, uniform=uniform)
    used = places < length
    positions = tf.where(used, places, 0)

    # The whole batch is one flat row, where gathering and adding are several times as fast as row by row.
    flat_ids = tf.reshape(input_ids, [-1])
    flat_positions = positions + length * tf.range(tf.shape(input_ids)[0])[:, None]
    originals = tf.gather_nd(flat_ids, flat_positions[:, :, None])
    random_tokens = uniform(_RANDOM_PIECE_STREAM, predictions, below=vocabulary.vocab_size)
    replaced = tf.where(
        fate < masking.mask_share,
        vocabulary.mask_id,
        tf.where(fate < masking.mask_share + masking.random_share, random_tokens, originals),
    )
    change = tf.where(used, replaced - originals, 0)
    flat_ids += tf.math.unsorted_segment_sum(
        tf.reshape(change, [-1]), tf.reshape(flat_positions, [-1]), tf.size(flat_ids)
    )
    return batch | {
        "input_ids": tf.reshape(flat_ids, [-1, length]),
        "masked_lm_positions": positions,
        "masked_lm_ids": tf.where(used, originals, 0),
        "masked_lm_weights": tf.cast(used, tf.float32),
    }


@dataclasses.dataclass(frozen=True)
class _UniformNumbers:
    """Uniform random numbers for the rows of a part of batches; a row's depend on its place in its batch alone."""

    seed: tf.Tensor
    part: PartOfBatches

    def __call__(self, stream: int, columns: int, below: int | None = None) -> tf.Tensor:
        """Draw [B, columns] from a stream: int32 in [0, below), or float32 in [0, 1)."""
        part = self.part
        shape = [part.num_batches, part.batch_size, columns]
        stream_seed = tf.random.experimental.stateless_fold_in(self.seed, stream)
        draws = tf.random.stateless_uniform(shape, stream_seed, 0, below or 1, tf.int32 if below else tf.float32)
        return tf.reshape(draws[:, part.first_row : part.first_row + part.rows], [-1, columns])


def _chosen(
    input_ids: tf.Tensor,
    rows: Mapping[str, tf.Tensor],
    masking: MaskingConfig,
    *,
    predictions: int,
    vocabulary: MaskingVocabulary,
    uniform: _UniformNumbers,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Choose the tokens to predict.

    Returns:
        Their positions, int32 [B, P], L or more in places that are not used; and a number in [0, 1) for each, float32
        [B, P], which decides whether it is masked, replaced or kept.
    """
    lengths, first_lengths = rows["sequence_lengths"], rows["first_segment_lengths"]
    length = input_ids.shape[1]
    wanted = _wanted_predictions(lengths, length, masking.masked_lm_rate, predictions)
    if masking.strategy == "token":
        positions = mask_selection.choose_tokens(
            lengths,
            first_lengths,
            wanted=wanted,
            row_length=length,
            uniform=uniform(_SELECTION_STREAM, predictions),
        )
        return positions, uniform(_FATE_STREAM, predictions)
    shares = _span_shares(masking)
    mean_words = sum(n * share for n, share in enumerate(shares, 1))
    slots = mask_selection.num_slots(predictions, lengths.shape[1], mean_words)
    span_words = None
    if len(shares) > 1:
        bounds = tf.constant(np.cumsum(shares)[:-1], tf.float32)
        span_words = 1 + tf.searchsorted(bounds, tf.reshape(uniform(_SPAN_STREAM, slots), [-1]), side="right")
        span_words = tf.reshape(span_words, [-1, slots])
    positions, slot = mask_selection.choose_words(
        input_ids,
        lengths,
        first_lengths,
        wanted=wanted,
        predictions=predictions,
        token_kinds=tf.constant(vocabulary.token_kinds()),
        continues=rows.get(features.RECORD_CONTINUES),
        uniform=uniform(_SELECTION_STREAM, slots),
        span_words=span_words,
        mean_span_words=mean_words,
    )
    if masking.strategy == "span":  # the tokens of a span meet one fate
        return positions, tf.gather(uniform(_FATE_STREAM, slots + 1), slot, batch_dims=1)
    return positions, uniform(_FATE_STREAM, predictions)


def _span_shares(masking: MaskingConfig) -> list[float]:
    """Return the shares of spans of 1, 2, ... words. Whole words are spans of one word."""
    longest = range(1, 2 if masking.strategy == "whole_word" else masking.longest_span() + 1)
    if masking.strategy == "span":
        weights = [masking.span_probability * (1 - masking.span_probability) ** (n - 1) for n in longest]
    else:
        weights = [1 / n for n in longest]
    return [weight / sum(weights) for weight in weights]


def _wanted_predictions(sequence_lengths: tf.Tensor, length: int, rate: float, predictions: int) -> tf.Tensor:
    """Return how many tokens of each sequence to predict, int32 [B, K], together at most P in a row."""
    # The counts come from a table, so that they are rounded as Python rounds.
    table = features.predictions_by_length(rate, length, predictions)
    running = tf.cumsum(tf.gather(tf.constant(table), sequence_lengths), axis=1)
    total = running[:, -1:]
    # The sum over sequences can exceed P. The running sum is then scaled down, so that its last value is P.
    running = running * tf.minimum(total, predictions) // tf.maximum(total, 1)
    return running - tf.pad(running, [[0, 0], [1, 0]])[:, :-1]
