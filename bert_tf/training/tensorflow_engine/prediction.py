"""Evaluation of rows: the model's outputs for each, for metrics that are no sums."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from bert_tf.objectives import metrics
from bert_tf.objectives.objective import Objective
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.training.tensorflow_engine.distribution import Distribution

RowOutputs = Callable[[EncodedExamples], tuple[list[Any], dict[str, float]]]


def make_row_outputs(
    model: keras.Model, distribution: Distribution, batch_size: int, objective: Objective | None = None
) -> RowOutputs:
    """A function of rows: the outputs for each, in their order, and the objective's figures over all of them.

    Args:
        model: called without dropout.
        distribution: where it runs.
        batch_size: rows at a time; rounded up to a multiple of the replicas.
        objective: for labelled rows; None for no figures.

    Returns:
        A function that gives, for N rows, a list of N outputs (NumPy arrays, or dictionaries of them, without the
        batch's axis; those with a length are as long as their batch was) and figures by name.
    """
    replicas = distribution.num_replicas
    batch_size = -(-batch_size // replicas) * replicas

    def step(batch: Any) -> tuple[Any, Any]:
        outputs = model(batch, training=False)
        sums = {} if objective is None else objective.losses(outputs, batch)
        reduced = distribution.all_reduce(tf.nest.flatten(sums)) if sums else []
        return outputs, tf.nest.pack_sequence_as(sums, reduced)

    @tf.function(reduce_retracing=True)
    def run(batch: Any) -> tuple[Any, Any]:
        return distribution.run_and_gather(step, batch)

    def outputs_of(rows: EncodedExamples) -> tuple[list[Any], dict[str, float]]:
        if distribution.is_tpu:
            rows = rows.in_one_length()
        found: list[Any] = [None] * len(rows)
        totals: dict[str, tuple[float, float]] = {}
        for indices, batch in rows.batches(batch_size):
            outputs, sums = run(distribution.place(batch))
            arrays = tf.nest.map_structure(lambda tensor: tensor.numpy(), outputs)
            for place, index in enumerate(indices):
                if index >= 0:
                    found[index] = tf.nest.map_structure(lambda array, place=place: array[place], arrays)
            for name, (total, weight) in sums.items():
                before = totals.get(name, (0.0, 0.0))
                totals[name] = (before[0] + float(total), before[1] + float(weight))
        return found, metrics.ratios(totals)

    return outputs_of
