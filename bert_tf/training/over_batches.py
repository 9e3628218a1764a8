"""The host's part of an evaluation, the same for both engines: sums over all batches, and the outputs by row."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from bert_tf.objectives.losses import Sums
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.training.step_metrics import Totals


def ratios_over(batches: Iterable[Any], sums_of: Callable[[Any], Sums]) -> dict[str, float]:
    """Return losses and metrics over all batches, divided once.

    Args:
        batches: the batches in the form that `sums_of` takes.
        sums_of: a function from a batch to its (sum, weight) pairs, scalars that `float` takes.

    Raises:
        ValueError: there is no batch.
    """
    totals = Totals()
    empty = True
    for batch in batches:
        totals.add(sums_of(batch))
        empty = False
    if empty:
        raise ValueError("the evaluation set holds no batch")
    return totals.ratios()


def outputs_by_row(
    examples: EncodedExamples, batch_size: int, compute: Callable[[dict[str, np.ndarray]], tuple[Any, Sums]]
) -> tuple[list[Any], dict[str, float]]:
    """Return the outputs for each example, in the order of the examples, and the losses over all of them.

    Args:
        examples: N encoded examples.
        batch_size: B, the number of rows at a time.
        compute: a function from a batch to its outputs, a structure of NumPy arrays [B, ...], and its (sum, weight)
            pairs, scalars that `float` takes.

    Returns:
        A list of N outputs without the batch axis, and the losses by name.
    """
    found: list[Any] = [None] * len(examples)
    totals = Totals()
    for indices, batch in examples.batches(batch_size):
        outputs, sums = compute(batch)
        for row, index in enumerate(indices):
            if index >= 0:
                found[index] = keras.tree.map_structure(lambda array, row=row: array[row], outputs)
        totals.add(sums)
    return found, totals.ratios()
