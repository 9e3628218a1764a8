"""Masked-LM targets and the encoder's features, made from whole batches of unmasked rows.

Stateless: the same rows and seed give the same batch, in eager code, in tf.data and in a `tf.function`.

Axes: B batch, L length, K sequences in a row, P predictions in a row.
"""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from bert_tf import features
from bert_tf.configs import MaskingConfig
from bert_tf.tokenization import WordPieceTokenizer

# Rounds of choosing whole words. Each takes all words up to the first that no longer fits, and drops what is
# longer than the places left, of which there are fewer each time; in practice two rounds fill a sequence.
_WORD_ROUNDS = 4

# Random bits of a piece's score; above them an int32 holds the number of its sequence, up to 127.
_SCORE_BITS = 24

# Numbers of the random streams of a batch.
_SELECTION_STREAM, _ACTION_STREAM, _RANDOM_PIECE_STREAM = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class MaskingVocabulary:
    """What masking needs to know of a vocabulary.

    Attributes:
        vocab_size: V.
        cls_id, sep_id: never masked.
        mask_id: the piece `[MASK]`.
        continuation: [V], True for pieces that continue a word (`##...`).
    """

    vocab_size: int
    cls_id: int
    sep_id: int
    mask_id: int
    continuation: tuple[bool, ...]

    @classmethod
    def of(cls, tokenizer: WordPieceTokenizer) -> "MaskingVocabulary":
        """The vocabulary of `tokenizer`."""
        return cls(
            vocab_size=tokenizer.vocab_size,
            cls_id=tokenizer.cls_id,
            sep_id=tokenizer.sep_id,
            mask_id=tokenizer.mask_id,
            continuation=tuple(map(bool, tokenizer.continuation)),
        )


def num_predictions(masking: MaskingConfig, max_seq_length: int) -> int:
    """P, places for predictions in a row: the configured number, or what the rate and the length ask for."""
    derived = features.predictions_per_row(masking.masked_lm_rate, max_seq_length)
    return min(masking.max_predictions_per_seq or derived, max_seq_length)


def encoder_features(rows: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Everything of a pre-training batch that masking does not decide.

    Args:
        rows: `input_ids` int32 [B, L]; `sequence_lengths`, `first_segment_lengths`, `next_sentence_labels`
            int32 [B, K], as in the records.

    Returns:
        `input_ids`, `input_mask` (1..K on sequences, 0 on padding), `segment_ids`, `position_ids` (restarting in
        each sequence) int32 [B, L]; `next_sentence_positions`, `next_sentence_labels` int32 [B, K],
        `next_sentence_weights` float32 [B, K] (0 for missing sequences and those without a label).
    """
    lengths = rows["sequence_lengths"]
    num_sequences = lengths.shape[1]
    ends = tf.cumsum(lengths, axis=1)
    starts = ends - lengths
    places = tf.broadcast_to(tf.range(rows["input_ids"].shape[1]), tf.shape(rows["input_ids"]))
    # How many sequences end before a place is its sequence's number; K on padding, where empty sequences end too.
    number = tf.searchsorted(ends, places, side="right")
    on_sequence = number < num_sequences
    # In a second segment one more of them has begun than sequences have ended.
    in_second = tf.searchsorted(starts + rows["first_segment_lengths"], places, side="right") > number
    if num_sequences == 1:
        position_ids = places  # the general form below takes as long as all the rest
    else:
        position_ids = places - tf.gather(tf.pad(starts, [[0, 0], [0, 1]]), number, batch_dims=1)
    labelled = (rows["sequence_lengths"] > 0) & (rows["next_sentence_labels"] != features.NO_NEXT_SENTENCE_LABEL)
    return {
        "input_ids": rows["input_ids"],
        "input_mask": tf.where(on_sequence, number + 1, 0),
        "segment_ids": tf.cast(in_second, tf.int32),
        "position_ids": tf.where(on_sequence, position_ids, 0),
        "next_sentence_positions": tf.where(labelled, starts, 0),
        "next_sentence_labels": tf.where(labelled, rows["next_sentence_labels"], 0),
        "next_sentence_weights": tf.cast(labelled, tf.float32),
    }


def mask_batch(
    rows: Mapping[str, tf.Tensor],
    masking: MaskingConfig,
    predictions: int,
    vocabulary: MaskingVocabulary,
    seed: tf.Tensor,
    first_row: int = 0,
    global_batch_size: int | None = None,
) -> dict[str, tf.Tensor]:
    """A pre-training batch (`features.pretraining_batch`) from unmasked rows.

    Devlin et al. 2018, section 3.1, and google-research/bert `create_masked_lm_predictions`: in each sequence
    min(P, max(1, round(rate x length))) pieces are chosen, `[CLS]` and `[SEP]` counted in the length but never
    chosen. A row's sequences share its P places in proportion when they ask for more together. Of the chosen
    pieces `mask_share` become `[MASK]`, `random_share` a piece drawn from the whole vocabulary, special and unused
    pieces included as in Google's code, and the rest stay. With `whole_word`, words are chosen in random order, a
    piece together with the `##` pieces after it; a word that is longer than the places left is passed over; each
    piece of a word then meets its own fate.

    Args:
        rows: see `encoder_features`.
        masking: rate, strategy, shares.
        predictions: P.
        vocabulary: ids of the special pieces.
        seed: integer [2], such as (seed, step).
        first_row: when the rows are a part of a batch that several pipelines read, the number of the first; a
            row's mask depends on its place in the whole batch.
        global_batch_size: the whole batch's size; None when the rows are all of it.

    Returns:
        int32 [B, L], [B, P], [B, K] and float32 weights; `masked_lm_positions` ascend, and are 0 with id and weight 0
        in places that are not used.
    """
    batch = encoder_features(rows)
    input_ids = rows["input_ids"]
    length = input_ids.shape[1]
    num_sequences = rows["sequence_lengths"].shape[1]

    def seed_of(stream: int) -> tf.Tensor:
        return tf.random.experimental.stateless_fold_in(seed, stream)

    def own_rows(values: tf.Tensor) -> tf.Tensor:
        return values if global_batch_size is None else values[first_row : first_row + tf.shape(input_ids)[0]]

    draws = tf.shape(input_ids)[0] if global_batch_size is None else global_batch_size
    special = (input_ids == vocabulary.cls_id) | (input_ids == vocabulary.sep_id)
    candidate = (batch["input_mask"] > 0) & ~special
    number = tf.where(candidate, batch["input_mask"] - 1, num_sequences)
    wanted = _wanted_predictions(rows["sequence_lengths"], length, masking.masked_lm_rate, predictions)
    bits = own_rows(
        tf.random.stateless_uniform([draws, length], seed_of(_SELECTION_STREAM), None, None, dtype=tf.int32)
    )
    bits = tf.bitwise.bitwise_and(bits, (1 << _SCORE_BITS) - 1)
    first_slots = _first_slots(rows)
    if masking.strategy == "whole_word":
        positions = _choose_words(input_ids, candidate, number, bits, wanted, first_slots, predictions, vocabulary)
    else:
        positions = _choose_pieces(number, bits, wanted, first_slots, predictions)
    # Ascending, the places not used (position L) last.
    positions = -tf.math.top_k(-positions, predictions).values
    used = positions < length
    positions = tf.where(used, positions, 0)
    originals = tf.gather(input_ids, positions, batch_dims=1)

    action = own_rows(tf.random.stateless_uniform([draws, predictions], seed_of(_ACTION_STREAM)))
    random_pieces = own_rows(
        tf.random.stateless_uniform(
            [draws, predictions], seed_of(_RANDOM_PIECE_STREAM), 0, vocabulary.vocab_size, dtype=tf.int32
        )
    )
    replaced = tf.where(
        action < masking.mask_share,
        vocabulary.mask_id,
        tf.where(action < masking.mask_share + masking.random_share, random_pieces, originals),
    )
    # Places not used write position 0's own piece, [CLS], back to position 0.
    replaced = tf.where(used, replaced, originals)
    flat_positions = tf.reshape(positions + length * tf.range(tf.shape(input_ids)[0])[:, None], [-1, 1])
    masked_ids = tf.tensor_scatter_nd_update(tf.reshape(input_ids, [-1]), flat_positions, tf.reshape(replaced, [-1]))
    return batch | {
        "input_ids": tf.reshape(masked_ids, tf.shape(input_ids)),
        "masked_lm_positions": positions,
        "masked_lm_ids": tf.where(used, originals, 0),
        "masked_lm_weights": tf.cast(used, tf.float32),
    }


def _wanted_predictions(sequence_lengths: tf.Tensor, length: int, rate: float, predictions: int) -> tf.Tensor:
    """int32 [B, K]: how many pieces of each sequence to predict, together at most P in a row."""
    # Looked up, not computed, so that rounding is Python's in double precision, as in Google's code.
    table = [0] + [min(predictions, max(1, round(rate * n))) for n in range(1, length + 1)]
    running = tf.cumsum(tf.gather(tf.constant(table), sequence_lengths), axis=1)
    total = running[:, -1:]
    # Rounding up for each sequence can exceed P: the running sum is scaled down, so that its last value is P.
    running = running * tf.minimum(total, predictions) // tf.maximum(total, 1)
    return running - tf.pad(running, [[0, 0], [1, 0]])[:, :-1]


def _first_slots(rows: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """int32 [B, K + 1]: rank of each sequence's first candidate among a row's candidates; last, their number."""
    lengths, first_lengths = rows["sequence_lengths"], rows["first_segment_lengths"]
    specials = tf.where(lengths > first_lengths, 3, 2)
    return tf.pad(tf.cumsum(tf.maximum(lengths - specials, 0), axis=1), [[0, 0], [1, 0]])


def _ranked(number: tf.Tensor, bits: tf.Tensor, ranks: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Places of a row by (sequence number, random bits): int32 [B, ranks] places and their sequences' numbers.

    Equal bits, one pair in 16 million, keep the order of their places.
    """
    top = tf.math.top_k(-(number * (1 << _SCORE_BITS) + bits), ranks)
    return top.indices, tf.bitwise.right_shift(-top.values, _SCORE_BITS)


def _choose_pieces(
    number: tf.Tensor, bits: tf.Tensor, wanted: tf.Tensor, first_slots: tf.Tensor, predictions: int
) -> tf.Tensor:
    """The chosen places, L for "none": int32 [B, R] with R >= P, in no order."""
    length, num_sequences = number.shape[1], wanted.shape[1]
    # The first P in rank hold all that a row of one sequence wants; further sequences rank behind its rest.
    ranks = predictions if num_sequences == 1 else length
    places, numbers = _ranked(number, bits, ranks)
    rank_in_sequence = tf.range(ranks) - tf.gather(first_slots, numbers, batch_dims=1)
    wanted = tf.pad(wanted, [[0, 0], [0, 1]])  # of places that are no candidates: none
    return tf.where(rank_in_sequence < tf.gather(wanted, numbers, batch_dims=1), places, length)


def _choose_words(
    input_ids: tf.Tensor,
    candidate: tf.Tensor,
    number: tf.Tensor,
    bits: tf.Tensor,
    wanted: tf.Tensor,
    first_slots: tf.Tensor,
    predictions: int,
    vocabulary: MaskingVocabulary,
) -> tf.Tensor:
    """As `_choose_pieces`, by whole words."""
    length, num_sequences = input_ids.shape[1], wanted.shape[1]
    # In a row of one sequence, words beyond these ranks would only be needed after as many pieces had been passed
    # over; looking at fewer places makes all that follows several times as fast.
    ranks = min(length, 2 * predictions + 16) if num_sequences == 1 else length
    continues = tf.gather(tf.constant(vocabulary.continuation), input_ids)
    # A `##` piece behind [CLS] or [SEP], left by truncation, begins a word of its own.
    follows = candidate & tf.pad(candidate, [[0, 0], [1, 0]])[:, :-1]
    word = tf.cumsum(tf.cast(~(follows & continues), tf.int32), axis=1) - 1
    places, numbers = _ranked(number, tf.gather(bits, word, batch_dims=1), ranks)

    # In rank order the pieces of a word are neighbours: [begin, end) of its slots, from where its number changes.
    ranked_word = tf.gather(word, places, batch_dims=1)
    begins = tf.pad(ranked_word[:, 1:] != ranked_word[:, :-1], [[0, 0], [1, 0]], constant_values=True)
    ordinal = tf.cumsum(tf.cast(begins, tf.int32), axis=1)
    begin = tf.searchsorted(ordinal, ordinal, side="left")
    end = tf.searchsorted(ordinal, ordinal, side="right")
    # A word that the last rank may have cut is not one to choose.
    whole = end < ranks if ranks < length else tf.ones_like(begins)
    first_slots = tf.minimum(first_slots, ranks)
    first_slot = tf.gather(first_slots, numbers, batch_dims=1)

    remaining = wanted
    accepted = tf.zeros_like(begins)
    for _ in range(_WORD_ROUNDS):
        left = tf.gather(tf.pad(remaining, [[0, 0], [0, 1]]), numbers, batch_dims=1)
        eligible = whole & ~accepted & (end - begin <= left)
        running = tf.pad(tf.cumsum(tf.cast(eligible, tf.int32), axis=1), [[0, 0], [1, 0]])
        before_sequence = tf.gather(running, first_slot, batch_dims=1)
        fits = eligible & (tf.gather(running, end, batch_dims=1) - before_sequence <= left)
        accepted |= fits
        taken = tf.pad(tf.cumsum(tf.cast(fits, tf.int32), axis=1), [[0, 0], [1, 0]])
        at_bounds = tf.gather(taken, first_slots, batch_dims=1)
        remaining -= at_bounds[:, 1:] - at_bounds[:, :-1]
    return tf.where(accepted, places, length)
