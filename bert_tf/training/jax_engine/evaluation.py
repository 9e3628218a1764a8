"""Evaluation without dropout: metrics over batches, and the outputs for each encoded example."""

from typing import Any

import jax
import keras

from bert_tf.features import Batch
from bert_tf.objectives.losses import Sums
from bert_tf.objectives.objective import Objective
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.training.engine import Compute, Dataset, Evaluate, OutputsOf
from bert_tf.training.jax_engine.devices import Devices
from bert_tf.training.jax_engine.step import evaluated_call, model_values
from bert_tf.training.over_batches import outputs_by_row, ratios_over


def make_evaluation(model: keras.Model, objective: Objective, devices: Devices) -> Evaluate:
    """Return a function that evaluates the model on a whole data set, and is compiled on its first call.

    Args:
        model: the model, which is called without dropout.
        objective: the losses and metrics.
        devices: the devices.

    Returns:
        A function of a data set of global batches of one static shape, the last one filled up with weight 0. It returns
        losses and metrics over all batches, divided once, and raises ValueError if there is no batch.
    """

    def sums_of(values: Any, batch: Batch) -> Sums:
        outputs = evaluated_call(model, values, batch, devices)
        return objective.losses(outputs, batch) | objective.metrics(outputs, batch)

    compiled = jax.jit(sums_of, out_shardings=devices.replicated)

    def evaluate(dataset: Dataset) -> dict[str, float]:
        values = _placed(model, devices)
        batches = map(devices.place_rows, devices.shard.of(dataset).as_numpy_iterator())
        return ratios_over(batches, lambda batch: compiled(values, batch))

    return evaluate


def make_outputs(
    model: keras.Model,
    devices: Devices,
    batch_size: int,
    *,
    objective: Objective | None = None,
    compute: Compute | None = None,
) -> OutputsOf:
    """Return a function that gives the model's outputs for each of some encoded examples.

    Args:
        model: the model, which is called without dropout.
        devices: the devices.
        batch_size: the number of rows at a time, which is rounded up to a multiple of the devices.
        objective: the losses and metrics of labelled examples, and what is `kept` of the outputs; None for none.
        compute: what is computed instead of the model's call; None for that.

    Returns:
        A function of N encoded examples. It returns a list of N outputs, in their order, and the objective's losses
        over all of them. The outputs are NumPy arrays, or dictionaries of these, without the batch axis. A length axis
        is as long as in the example's batch.
    """
    count = len(devices.devices)
    batch_size = -(-batch_size // count) * count

    def outputs_and_sums(values: Any, batch: Batch) -> tuple[Any, Sums]:
        outputs = evaluated_call(model, values, batch, devices, compute)
        if objective is None:
            return outputs, {}
        return objective.kept(outputs, batch), objective.losses(outputs, batch)

    compiled = jax.jit(outputs_and_sums, out_shardings=devices.replicated)

    def outputs_of(examples: EncodedExamples) -> tuple[list[Any], dict[str, float]]:
        values = _placed(model, devices)

        def compute_batch(batch: dict[str, Any]) -> tuple[Any, Sums]:
            outputs, sums = compiled(values, devices.place_batch(batch))
            return jax.tree.map(devices.fetch, outputs), sums

        in_one_length = devices.platform == "tpu"
        return outputs_by_row(examples.in_one_length() if in_one_length else examples, batch_size, compute_batch)

    return outputs_of


def _placed(model: keras.Model, devices: Devices) -> Any:
    return jax.tree.map(lambda value: devices.place(value, devices.replicated), model_values(model))
