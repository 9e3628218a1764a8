"""The contract of records and batches: names, shapes, dtypes. Nothing else defines one.

Axes: B batch, L length, P predictions in a row, K sequences in a row.

One code path serves packed and unpacked rows. A row holds K >= 1 sequences, each
`[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`. `input_mask` is 0 on padding and 1..K on the tokens of sequence
k; an ordinary 0/1 mask is the case K = 1. Attention is allowed where query and key carry the same non-zero
number. `position_ids` restart in each sequence; `next_sentence_positions` are the places of the `[CLS]`s.
"""

import dataclasses
import math
from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A tensor of the backend, or whatever `keras.ops` takes for one: a NumPy array, a variable, a symbolic tensor."""

Batch: TypeAlias = dict[str, Tensor]
"""The tensors of a batch by name."""

# On disk: one tf.train.Example a row, unmasked and unpadded. K is `max_sequences_per_row` of the manifest;
# rows with fewer sequences carry zeros at the end of the three lists.
RECORD_INPUT_IDS = "input_ids"  # bytes: the row's token ids, little-endian uint16 (int32 from 65,536 tokens on)
RECORD_SEQUENCE_LENGTHS = "sequence_lengths"  # int64 [K]: tokens of each sequence, specials included
RECORD_FIRST_SEGMENT_LENGTHS = "first_segment_lengths"  # int64 [K]: of them, tokens of `[CLS] A [SEP]`
RECORD_NEXT_SENTENCE_LABELS = "next_sentence_labels"  # int64 [K]: 0 = B follows A, 1 = random B

# A label of a sequence without next-sentence objective (`--objective mlm`): its weight is 0.
NO_NEXT_SENTENCE_LABEL = -1


@dataclasses.dataclass(frozen=True)
class Feature:
    """Static shape and dtype name of one tensor of a batch."""

    shape: tuple[int | None, ...]
    dtype: str


def predictions_per_row(masked_lm_rate: float, max_seq_length: int) -> int:
    """Places for masked-LM predictions in a row of `max_seq_length` tokens: enough for the rate, no more.

    >>> predictions_per_row(0.15, 128)
    20
    >>> predictions_per_row(0.15, 512)
    77
    """
    return max(1, math.ceil(masked_lm_rate * max_seq_length))


def predictions_by_length(masked_lm_rate: float, max_seq_length: int, predictions: int) -> list[int]:
    """How many tokens of a sequence are predicted, by the sequence's length, specials included, 0 to L.

    min(P, max(1, round(rate x length))), rounded by Python in double precision, as in google-research/bert
    `create_masked_lm_predictions`. An empty sequence has none.

    Args:
        masked_lm_rate: share of a sequence's tokens to predict.
        max_seq_length: L.
        predictions: P, places for predictions in a row.
    """
    return [0] + [min(predictions, max(1, round(masked_lm_rate * n))) for n in range(1, max_seq_length + 1)]


def encoder_batch(batch_size: int | None, max_seq_length: int | None) -> dict[str, Feature]:
    """What every encoder reads: `input_ids`, `input_mask`, `segment_ids`, `position_ids`, all int32 [B, L]."""
    row = Feature((batch_size, max_seq_length), "int32")
    return {"input_ids": row, "input_mask": row, "segment_ids": row, "position_ids": row}


def pretraining_batch(
    batch_size: int | None, max_seq_length: int, predictions: int, max_sequences_per_row: int = 1
) -> dict[str, Feature]:
    """What a pre-training step reads.

    Args:
        batch_size: B; None where it varies.
        max_seq_length: L.
        predictions: P, places for masked-LM predictions in a row.
        max_sequences_per_row: K.

    Returns:
        `encoder_batch`'s features, and `masked_lm_positions`, `masked_lm_ids` int32 [B, P],
        `masked_lm_weights` float32 [B, P], `next_sentence_positions`, `next_sentence_labels` int32 [B, K],
        `next_sentence_weights` float32 [B, K]. Where a weight is 0, position and label are 0 too.
    """
    per_prediction = (batch_size, predictions)
    per_sequence = (batch_size, max_sequences_per_row)
    return encoder_batch(batch_size, max_seq_length) | {
        "masked_lm_positions": Feature(per_prediction, "int32"),
        "masked_lm_ids": Feature(per_prediction, "int32"),
        "masked_lm_weights": Feature(per_prediction, "float32"),
        "next_sentence_positions": Feature(per_sequence, "int32"),
        "next_sentence_labels": Feature(per_sequence, "int32"),
        "next_sentence_weights": Feature(per_sequence, "float32"),
    }


def classification_batch(batch_size: int | None, max_seq_length: int | None) -> dict[str, Feature]:
    """What a classification step reads: the encoder's features, `label_ids` int32 [B], `label_weights` float32 [B]."""
    return encoder_batch(batch_size, max_seq_length) | {
        "label_ids": Feature((batch_size,), "int32"),
        "label_weights": Feature((batch_size,), "float32"),
    }


def multi_label_batch(batch_size: int | None, max_seq_length: int | None, num_labels: int) -> dict[str, Feature]:
    """The encoder's features, `label_targets` float32 [B, C] of 0 and 1, `label_weights` float32 [B]."""
    return encoder_batch(batch_size, max_seq_length) | {
        "label_targets": Feature((batch_size, num_labels), "float32"),
        "label_weights": Feature((batch_size,), "float32"),
    }


def regression_batch(batch_size: int | None, max_seq_length: int | None) -> dict[str, Feature]:
    """The encoder's features, `label_values` float32 [B], `label_weights` float32 [B]."""
    return encoder_batch(batch_size, max_seq_length) | {
        "label_values": Feature((batch_size,), "float32"),
        "label_weights": Feature((batch_size,), "float32"),
    }


def tagging_batch(batch_size: int | None, max_seq_length: int | None) -> dict[str, Feature]:
    """The encoder's features, `tag_ids` int32 [B, L], `tag_weights` float32 [B, L]: 1 on the first token of a word."""
    return encoder_batch(batch_size, max_seq_length) | {
        "tag_ids": Feature((batch_size, max_seq_length), "int32"),
        "tag_weights": Feature((batch_size, max_seq_length), "float32"),
    }


def question_answering_batch(batch_size: int | None, max_seq_length: int | None) -> dict[str, Feature]:
    """The encoder's features, `start_positions`, `end_positions` int32 [B], `answer_weights` float32 [B].

    Positions of the answer's first and last token; both 0, the `[CLS]`, where the row holds no answer.
    """
    return encoder_batch(batch_size, max_seq_length) | {
        "start_positions": Feature((batch_size,), "int32"),
        "end_positions": Feature((batch_size,), "int32"),
        "answer_weights": Feature((batch_size,), "float32"),
    }


def retrieval_batch(batch_size: int | None, max_seq_length: int | None, passages: int) -> dict[str, Feature]:
    """What a step of retrieval reads: rows of several sequences, first a query, then its passage, then negatives.

    Args:
        batch_size: B.
        max_seq_length: L, of all of them together.
        passages: P, the right passage and the negatives.

    Returns:
        The encoder's features, where `input_mask` tells the sequences apart; `query_ids` int32 [B] and `passage_ids`
        int32 [B, P], equal for equal texts; `passage_weights` float32 [B, P], 0 for a negative that is not there.
    """
    return encoder_batch(batch_size, max_seq_length) | {
        "query_ids": Feature((batch_size,), "int32"),
        "passage_ids": Feature((batch_size, passages), "int32"),
        "passage_weights": Feature((batch_size, passages), "float32"),
    }
