"""The contract of records and batches: the only place that defines their names, shapes and dtypes.

Axes: B batch, L length, P predictions in a row, K sequences in a row.

One code path serves packed and unpacked rows. A row holds K >= 1 sequences, each of the form `[CLS] A [SEP]` or
`[CLS] A [SEP] B [SEP]`. `input_mask` is 0 on padding and k on the tokens of sequence k = 1..K; an ordinary 0/1 mask is
the case K = 1. A query attends to a key if both have the same non-zero number. `position_ids` restart in each
sequence; `next_sentence_positions` are the indices of the `[CLS]` tokens.

`order` narrows this, where a batch has it: a query attends to a key of its own sequence if the key's `order` is not
larger than its own. Source 0 and target 1, 2, 3, ... make a sequence-to-sequence model of an encoder (Dong et al. 2019,
"Unified Language Model Pre-training", section 2.3); 0 to L - 1 makes it a causal language model; 0 everywhere changes
nothing.
"""

import dataclasses
import math
from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A tensor of the backend, or anything else that `keras.ops` accepts: an array, a variable, a symbolic tensor."""

Batch: TypeAlias = dict[str, Tensor]
"""The tensors of a batch by name."""

# A record is one row, a tf.train.Example without masks and padding. K is `max_sequences_per_row` of the manifest; a row
# with fewer sequences has zeros at the end of its three lists.
RECORD_INPUT_IDS = "input_ids"  # bytes: the row's token ids, little-endian uint16 (int32 from 65,536 tokens on)
RECORD_SEQUENCE_LENGTHS = "sequence_lengths"  # int64 [K]: tokens of each sequence, with special tokens
RECORD_FIRST_SEGMENT_LENGTHS = "first_segment_lengths"  # int64 [K]: tokens of `[CLS] A [SEP]` in each
RECORD_NEXT_SENTENCE_LABELS = "next_sentence_labels"  # int64 [K]: 0 = B follows A, 1 = random B
# Only where a segmenter found the words: bytes, a bit for each token of the row, the lowest first. It is 1 if the token
# is in the same word as the token before it in the text.
RECORD_CONTINUES = "continues"

ID_NAMES = ("input_ids", "input_mask", "segment_ids")
"""The inputs of every model, int32 [B, L], in the order of lists of inputs. Positions count from 0 in each row."""

ORDER = "order"
"""An input that every model may have besides those of `encoder_batch`, int32 [B, L], at least 0 (see above)."""

NO_NEXT_SENTENCE_LABEL = -1
"""The label of a sequence without a next-sentence objective (`--objective mlm`), whose weight is 0."""


@dataclasses.dataclass(frozen=True)
class Feature:
    """The static shape and the dtype of one tensor of a batch.

    Attributes:
        shape: None for an axis whose size varies.
        dtype: the name of the dtype.
    """

    shape: tuple[int | None, ...]
    dtype: str


def predictions_per_row(masked_lm_rate: float, max_seq_length: int) -> int:
    """Return P, the number of masked-LM predictions that a row has room for: just enough for the rate.

    >>> predictions_per_row(0.15, 128)
    20
    >>> predictions_per_row(0.15, 512)
    77

    Args:
        masked_lm_rate: share of a sequence's tokens to predict.
        max_seq_length: L.
    """
    return max(1, math.ceil(masked_lm_rate * max_seq_length))


def predictions_by_length(masked_lm_rate: float, max_seq_length: int, predictions: int) -> list[int]:
    """Return the number of predicted tokens for each length of a sequence.

    It is min(P, max(1, round(rate x length))), rounded by Python in double precision, as in google-research/bert
    `create_masked_lm_predictions`. An empty sequence has none.

    Args:
        masked_lm_rate: share of a sequence's tokens to predict.
        max_seq_length: L.
        predictions: P, the largest number of predictions in a row.

    Returns:
        L + 1 numbers, for the lengths from 0 to L; `[CLS]` and `[SEP]` count towards the length.
    """
    return [0] + [min(predictions, max(1, round(masked_lm_rate * n))) for n in range(1, max_seq_length + 1)]


def encoder_batch(batch_size: int | None, max_seq_length: int | None) -> dict[str, Feature]:
    """Return the features that every encoder reads.

    Args:
        batch_size: B; None if it varies.
        max_seq_length: L; None if it varies.

    Returns:
        `input_ids`, `input_mask`, `segment_ids` and `position_ids`, all int32 [B, L].
    """
    row = Feature((batch_size, max_seq_length), "int32")
    return {"input_ids": row, "input_mask": row, "segment_ids": row, "position_ids": row}


def pretraining_batch(
    batch_size: int | None,
    max_seq_length: int,
    predictions: int,
    *,
    max_sequences_per_row: int = 1,
    ordered: bool = False,
) -> dict[str, Feature]:
    """Return the features of a pre-training batch.

    Args:
        batch_size: B; None if it varies.
        max_seq_length: L.
        predictions: P, the largest number of masked-LM predictions in a row.
        max_sequences_per_row: K.
        ordered: whether some rows are read left to right or as sequence to sequence (`configs.MixtureConfig`).

    Returns:
        The features of `encoder_batch`, with `order` int32 [B, L] if the batch is ordered, `masked_lm_positions` and
        `masked_lm_ids` int32 [B, P], `masked_lm_weights` float32 [B, P], `next_sentence_positions` and
        `next_sentence_labels` int32 [B, K], and `next_sentence_weights` float32 [B, K]. If a weight is 0, its position
        and label are 0 too.
    """
    per_prediction = (batch_size, predictions)
    per_sequence = (batch_size, max_sequences_per_row)
    encoder = encoder_batch(batch_size, max_seq_length)
    if ordered:
        encoder[ORDER] = encoder["input_ids"]
    return encoder | {
        "masked_lm_positions": Feature(per_prediction, "int32"),
        "masked_lm_ids": Feature(per_prediction, "int32"),
        "masked_lm_weights": Feature(per_prediction, "float32"),
        "next_sentence_positions": Feature(per_sequence, "int32"),
        "next_sentence_labels": Feature(per_sequence, "int32"),
        "next_sentence_weights": Feature(per_sequence, "float32"),
    }


def classification_batch(batch_size: int | None, max_seq_length: int | None) -> dict[str, Feature]:
    """Return the features of classification: the encoder's, `label_ids` int32 [B] and `label_weights` float32 [B]."""
    return encoder_batch(batch_size, max_seq_length) | {
        "label_ids": Feature((batch_size,), "int32"),
        "label_weights": Feature((batch_size,), "float32"),
    }


def multi_label_batch(batch_size: int | None, max_seq_length: int | None, num_labels: int) -> dict[str, Feature]:
    """Return the features of multi-label classification with C labels.

    Returns:
        The features of `encoder_batch`, `label_targets` float32 [B, C], each 0 or 1, and `label_weights` float32 [B].
        In training with class weights, also `target_weights` float32 [B, C].
    """
    return encoder_batch(batch_size, max_seq_length) | {
        "label_targets": Feature((batch_size, num_labels), "float32"),
        "label_weights": Feature((batch_size,), "float32"),
    }


def regression_batch(batch_size: int | None, max_seq_length: int | None) -> dict[str, Feature]:
    """Return the features of regression: the encoder's, `label_values` float32 [B] and `label_weights` float32 [B]."""
    return encoder_batch(batch_size, max_seq_length) | {
        "label_values": Feature((batch_size,), "float32"),
        "label_weights": Feature((batch_size,), "float32"),
    }


def reranking_batch(batch_size: int | None, max_seq_length: int | None) -> dict[str, Feature]:
    """Return the features of reranking, whose rows are pairs of a query and a passage.

    Those of one query follow each other, a fixed number of rows, if a loss compares them.

    Returns:
        The features of `regression_batch`: `label_values` are the relevances, and `label_weights` are 0 in the rows of
        missing passages.
    """
    return regression_batch(batch_size, max_seq_length)


def tagging_batch(batch_size: int | None, max_seq_length: int | None) -> dict[str, Feature]:
    """Return the features of tagging.

    Returns:
        The features of `encoder_batch`, `tag_ids` int32 [B, L], and `tag_weights` float32 [B, L], which are 1 on
        the first token of each word.
    """
    return encoder_batch(batch_size, max_seq_length) | {
        "tag_ids": Feature((batch_size, max_seq_length), "int32"),
        "tag_weights": Feature((batch_size, max_seq_length), "float32"),
    }


def question_answering_batch(batch_size: int | None, max_seq_length: int | None) -> dict[str, Feature]:
    """Return the features of question answering.

    Returns:
        The features of `encoder_batch`, `start_positions` and `end_positions` int32 [B], and `answer_weights` float32
        [B]. The positions are those of the answer's first and last tokens, or 0 (`[CLS]`) if the row holds no answer.
    """
    return encoder_batch(batch_size, max_seq_length) | {
        "start_positions": Feature((batch_size,), "int32"),
        "end_positions": Feature((batch_size,), "int32"),
        "answer_weights": Feature((batch_size,), "float32"),
    }


def retrieval_batch(batch_size: int | None, max_seq_length: int | None, passages: int) -> dict[str, Feature]:
    """Return the features of retrieval, whose rows hold a query, then its passage, then negatives.

    Args:
        batch_size: B; None if it varies.
        max_seq_length: L, tokens of all these sequences together.
        passages: P, the passage and the negatives.

    Returns:
        The features of `encoder_batch`, with `input_mask` numbering the sequences; `query_ids` int32 [B] and
        `passage_ids` int32 [B, P], equal for equal texts; and `passage_weights` float32 [B, P], 0 where a negative is
        missing.
    """
    return encoder_batch(batch_size, max_seq_length) | {
        "query_ids": Feature((batch_size,), "int32"),
        "passage_ids": Feature((batch_size, passages), "int32"),
        "passage_weights": Feature((batch_size, passages), "float32"),
    }


def seq2seq_batch(batch_size: int | None, max_seq_length: int | None, predictions: int) -> dict[str, Feature]:
    """Return the features of sequence to sequence, whose rows hold one source and its target, or several such pairs.

    Args:
        batch_size: B; None if it varies.
        max_seq_length: L; None if it varies.
        predictions: P, the largest number of target tokens in a row, each target's `[SEP]` included.

    Returns:
        The features of `encoder_batch`; `order` int32 [B, L], 0 on sources and 1, 2, 3, ... on targets; the positions
        before the target tokens, `next_token_positions` int32 [B, P]; these tokens, `next_token_ids` int32 [B, P]; and
        `next_token_weights` float32 [B, P], 0 where a row has fewer.
    """
    per_prediction = (batch_size, predictions)
    return encoder_batch(batch_size, max_seq_length) | {
        ORDER: Feature((batch_size, max_seq_length), "int32"),
        "next_token_positions": Feature(per_prediction, "int32"),
        "next_token_ids": Feature(per_prediction, "int32"),
        "next_token_weights": Feature(per_prediction, "float32"),
    }


def multiple_choice_batch(batch_size: int | None, max_seq_length: int | None, choices: int) -> dict[str, Feature]:
    """Return the features of multiple choice, whose rows hold the context with each choice, one after the other.

    Args:
        batch_size: B; None if it varies.
        max_seq_length: L, tokens of all these sequences together; None if it varies.
        choices: K, the largest number of choices.

    Returns:
        The features of `encoder_batch`, with `input_mask` numbering the sequences; `choice_positions` int32 [B, K], the
        positions of their `[CLS]` tokens, -1 where a row has fewer; `label_ids` int32 [B], the index of the right
        choice; and `label_weights` float32 [B].
    """
    return classification_batch(batch_size, max_seq_length) | {
        "choice_positions": Feature((batch_size, choices), "int32"),
    }


TEACHER_NAMES = ("teacher_outputs", "teacher_start_logits", "teacher_end_logits", "teacher_weights")
"""The features of a batch that a teacher adds: its outputs (of a question answerer, both by name), in the shape of the
model's; and a weight for each row, float32 [B], 1 but in fillers."""

BATCH_NAMES = frozenset().union(
    pretraining_batch(None, 1, 1),
    classification_batch(None, None),
    multi_label_batch(None, None, 1),
    regression_batch(None, None),
    tagging_batch(None, None),
    question_answering_batch(None, None),
    retrieval_batch(None, None, 1),
    seq2seq_batch(None, None, 1),
    multiple_choice_batch(None, None, 1),
    ("target_weights",),
    TEACHER_NAMES,
)
"""The names of all tensors that a batch may have."""

INPUT_ALIASES = {
    "attention_mask": "input_mask",  # Hugging Face
    "token_type_ids": "segment_ids",
    "token_ids": "input_ids",  # KerasHub
    "padding_mask": "input_mask",
    "mask_positions": "masked_lm_positions",
    "input_word_ids": "input_ids",  # TensorFlow Model Garden and TensorFlow Hub
    "input_type_ids": "segment_ids",
}
"""The names of other projects for the inputs of a model, each with ours."""
