"""Evaluation without dropout: metrics over batches, and the outputs for each encoded example."""

from typing import Any

import keras
import tensorflow as tf

from bert_tf.features import Batch
from bert_tf.objectives.losses import Sums
from bert_tf.objectives.objective import Objective
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.training.engine import Compute, Dataset, Evaluate, OutputsOf
from bert_tf.training.over_batches import outputs_by_row, ratios_over
from bert_tf.training.tensorflow_engine.distribution import Distribution


def make_evaluation(model: keras.Model, objective: Objective, distribution: Distribution) -> Evaluate:
    """Return a function that evaluates the model on a whole data set, and is compiled on its first call.

    Args:
        model: the model, which is called without dropout.
        objective: the losses and metrics.
        distribution: the replicas.

    Returns:
        A function of a data set of global batches of one static shape, the last one filled up with weight 0. It returns
        losses and metrics over all batches, divided once, and raises ValueError if there is no batch.
    """

    def step(batch: Batch) -> Sums:
        outputs = model(batch, training=False)
        sums = objective.losses(outputs, batch) | objective.metrics(outputs, batch)
        return tf.nest.pack_sequence_as(sums, distribution.all_reduce(tf.nest.flatten(sums)))

    @tf.function
    def run(batch: Any) -> Any:
        return distribution.run(step, batch)

    def evaluate(dataset: Dataset) -> dict[str, float]:
        return ratios_over(distribution.split(dataset), run)

    return evaluate


def make_outputs(
    model: keras.Model,
    distribution: Distribution,
    batch_size: int,
    *,
    objective: Objective | None = None,
    compute: Compute | None = None,
) -> OutputsOf:
    """Return a function that gives the model's outputs for each of some encoded examples.

    Args:
        model: the model, which is called without dropout.
        distribution: the replicas.
        batch_size: the number of rows at a time, which is rounded up to a multiple of the replicas.
        objective: the losses and metrics of labelled examples, and what is `kept` of the outputs; None for none.
        compute: what is computed instead of the model's call; None for that.

    Returns:
        A function of N encoded examples. It returns a list of N outputs, in their order, and the objective's losses
        over all of them. The outputs are NumPy arrays, or dictionaries of these, without the batch axis. A length axis
        is as long as in the example's batch.
    """
    replicas = distribution.num_replicas
    batch_size = -(-batch_size // replicas) * replicas

    def step(batch: Batch) -> tuple[Any, Sums]:
        outputs = model(batch, training=False) if compute is None else compute(model, batch)
        sums = {} if objective is None else objective.losses(outputs, batch)
        reduced = distribution.all_reduce(tf.nest.flatten(sums)) if sums else []
        kept = outputs if objective is None else objective.kept(outputs, batch)
        return kept, tf.nest.pack_sequence_as(sums, reduced)

    @tf.function(reduce_retracing=True)
    def run(batch: Any) -> tuple[Any, Any]:
        return distribution.run_and_gather(step, batch)

    def compute_batch(batch: dict[str, Any]) -> tuple[Any, Any]:
        outputs, sums = run(distribution.place(batch))
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), outputs), sums

    def outputs_of(examples: EncodedExamples) -> tuple[list[Any], dict[str, float]]:
        return outputs_by_row(examples.in_one_length() if distribution.is_tpu else examples, batch_size, compute_batch)

    return outputs_of
