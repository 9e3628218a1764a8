"""Batches of random tokens for benchmarks of the training step, in rows that are full, padded or packed.

Shapes: B rows, L length, P predictions in a row, K sequences in a row.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from bert_tf.features import predictions_by_length, pretraining_batch
from data_pipelines.records.packing import pack_rows

_FIRST_WORD = 1000  # in BERT's vocabularies, special tokens and placeholders come before it
_MASKED_LM_RATE = 0.15
_SHORTEST_SHARE = 1 / 16


def synthetic_batches(
    rows: int,
    length: int,
    *,
    predictions: int,
    vocab_size: int,
    count: int,
    sequences: int = 0,
    slots: int | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Return `count` batches of random tokens, each of the form of `features.pretraining_batch`.

    Sequences have two segments. Their lengths are uniform between a sixteenth of a row and a row, unless they fill the
    rows. Rows of several sequences are packed as records are.

    Args:
        rows: B.
        length: L.
        predictions: P, the most predicted tokens of a row; 15 % of each sequence are predicted.
        vocab_size: the size of the vocabulary.
        count: the number of batches.
        sequences: the most sequences in a row: 1 for one and padding, more to pack, 0 for one that fills the row.
        slots: K, the sequences that a row has room for; None for the greater of 1 and `sequences`.
        seed: the random seed.

    Returns:
        The features, stacked on a first axis of the batches.
    """
    random = np.random.default_rng(seed)
    features = pretraining_batch(rows, length, predictions, max_sequences_per_row=slots or max(1, sequences))
    arrays: dict[str, np.ndarray] = {
        name: np.zeros((count * rows, *(size or 0 for size in feature.shape[1:])), feature.dtype)
        for name, feature in features.items()
    }
    most = predictions_by_length(_MASKED_LM_RATE, length, predictions)
    for row, lengths in enumerate(itertools.islice(_rows_of_lengths(random, length, sequences), count * rows)):
        start, predicted = 0, 0
        for number, size in enumerate(lengths):
            row_arrays = {name: array[row] for name, array in arrays.items()}
            _fill_sequence(row_arrays, random, number=number, start=start, size=size, vocab_size=vocab_size)
            chosen = min(most[size], predictions - predicted)
            places = np.sort(random.choice(size - 1, chosen, replace=False)) + 1 + start
            _fill_predictions(row_arrays, random, first=predicted, places=places, vocab_size=vocab_size)
            start, predicted = start + size, predicted + chosen
    return {name: array.reshape(count, rows, *array.shape[1:]) for name, array in arrays.items()}


def tokens_per_batch(arrays: dict[str, np.ndarray]) -> float:
    """Return the average number of tokens, without padding, of stacked batches."""
    return float(np.mean(np.sum(arrays["input_mask"] > 0, axis=(1, 2))))


def _rows_of_lengths(random: np.random.Generator, length: int, sequences: int) -> Iterator[list[int]]:
    """Yield, for each row, the lengths of its sequences, without end."""
    if sequences == 0:
        yield from itertools.repeat([length])
    shortest = max(4, int(length * _SHORTEST_SHARE))
    lengths: list[int] = []

    def draw() -> Iterator[int]:
        while True:
            lengths.append(int(random.integers(shortest, length + 1)))
            yield lengths[-1]

    for row in pack_rows(draw(), length, max_sequences=sequences):
        yield [lengths[number] for number in row]


def _fill_sequence(
    row: dict[str, np.ndarray], random: np.random.Generator, *, number: int, start: int, size: int, vocab_size: int
) -> None:
    """Write the tokens and the next-sentence label of one sequence into a row."""
    where = slice(start, start + size)
    row["input_ids"][where] = random.integers(min(_FIRST_WORD, vocab_size // 2), vocab_size, size)
    row["input_mask"][where] = number + 1
    row["segment_ids"][start + size // 2 : start + size] = 1
    row["position_ids"][where] = np.arange(size)
    row["next_sentence_positions"][number] = start
    row["next_sentence_labels"][number] = random.integers(0, 2)
    row["next_sentence_weights"][number] = 1.0


def _fill_predictions(
    row: dict[str, np.ndarray], random: np.random.Generator, *, first: int, places: np.ndarray, vocab_size: int
) -> None:
    """Write the predicted tokens of one sequence into a row, behind those of the sequences before it."""
    where = slice(first, first + len(places))
    row["masked_lm_positions"][where] = places
    row["masked_lm_ids"][where] = random.integers(min(_FIRST_WORD, vocab_size // 2), vocab_size, len(places))
    row["masked_lm_weights"][where] = 1.0
