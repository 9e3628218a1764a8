"""The JAX engine's training step on batches in memory, and the measurement of it. Neither needs TensorFlow.

Import this module where Keras computes with JAX (`KERAS_BACKEND=jax`).
"""

import statistics
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from bert_tf.configs import BertConfig, OptimizerConfig, TrainConfig
from bert_tf.models.flops import pretraining_step_flops
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.objectives.objective import pretraining_objective
from bert_tf.training.jax_engine.engine import JaxEngine
from bert_tf.utils.peak_memory import peak_memory_gib
from experiments.benchmarks.synthetic_batches import tokens_per_batch

_LOSSES = ("masked_lm_loss", "next_sentence_loss")


class JaxTraining:
    """Pre-training by the JAX engine, on batches that are placed on the devices before the first step.

    Args:
        config: the model.
        arrays: the features of `features.pretraining_batch`, stacked on a first axis of the batches.
        precision: the precision of the computation.
        engine: the devices.
        learning_rate: the learning rate of the first step.

    Attributes:
        engine: the devices.
        state: the state of the training.
        num_batches: the number of batches.

    Raises:
        ValueError: the devices do not divide the batch, or have no kernel for fused attention.
    """

    def __init__(
        self,
        config: BertConfig,
        arrays: dict[str, np.ndarray],
        *,
        precision: str,
        engine: JaxEngine,
        learning_rate: float = 1e-4,
    ) -> None:
        self.num_batches, rows = arrays["input_ids"].shape[:2]
        train = TrainConfig(batch_size=rows, learning_rate=learning_rate, warmup_steps=0, precision=precision)
        self.engine = engine
        self.engine.check_batch("batch_size", rows)
        if config.attention == "fused" and not self.engine.has_fused_attention:
            raise ValueError(
                f"`attention` must be plain on these devices. Received: fused, for an engine that "
                f"{self.engine.describe()}"
            )
        self.state = self.engine.make_state(lambda: BertPretrainer(config, dtype=train.dtype_policy), train)
        self._steps = self.engine.make_steps(
            self.state, pretraining_objective(), train=train, optimizer=OptimizerConfig()
        )
        self.use(arrays)

    def use(self, arrays: dict[str, np.ndarray]) -> None:
        """Replace the batches by others of the same shapes, for which nothing is compiled again."""
        self.num_batches = len(arrays["input_ids"])
        self._batches = [
            self.engine.devices.place_rows({name: array[number] for name, array in arrays.items()})
            for number in range(self.num_batches)
        ]

    def run(self, numbers: Sequence[int]) -> tuple[list[float], float]:
        """Make an update from each of the batches with these numbers, which count on from the first after the last.

        Returns:
            The loss of each step, and the seconds from the call until the devices have finished.
        """
        begin = time.perf_counter()
        batches = (self._batches[number % self.num_batches] for number in numbers)
        metrics, _ = self._steps(batches, len(numbers))
        seconds = time.perf_counter() - begin
        pairs = metrics[:, [self._steps.names.index(name) for name in _LOSSES]]
        return np.sum(pairs[..., 0] / np.maximum(pairs[..., 1], 1e-6), axis=-1).tolist(), seconds


def measure(training: JaxTraining, *, steps: int, repetitions: int) -> dict[str, Any]:
    """Measure the first step, which is compiled, and then repetitions of some steps.

    Args:
        training: the training.
        steps: the number of steps of a repetition, which the devices make without waiting for the host.
        repetitions: the number of repetitions, whose median counts.

    Returns:
        `compile_seconds` (the time of the first step beyond a step's), `seconds_per_step`, the spread of the
        repetitions, the losses of the first and last step, and the peak memory.
    """
    losses, first = training.run([0])
    training.run([1])
    seconds = []
    number = 2
    for _ in range(repetitions):
        made, taken = training.run(range(number, number + steps))
        losses += made
        seconds.append(taken / steps)
        number += steps
    median = statistics.median(seconds)
    return {
        "compile_seconds": max(0.0, first - median),
        "seconds_per_step": median,
        "seconds_per_step_spread": [min(seconds), max(seconds)],
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "device_memory_gib": training.engine.device_memory_gib(),
        "host_memory_gib": peak_memory_gib(),
    }


def rates(config: BertConfig, arrays: dict[str, np.ndarray], seconds: float, *, peak_tflops: float) -> dict[str, Any]:
    """Return how fast steps on these batches are.

    Args:
        config: the model.
        arrays: the batches.
        seconds: the time of a step.
        peak_tflops: what all devices together can make; 0 if this is unknown.

    Returns:
        `tokens_per_second`, without padding; `padding_share` of the positions; `tflops` of the matrix products, of
        those on padding and between sequences too; and their `peak_share`, or None.
    """
    _, rows, length = arrays["input_ids"].shape
    flops = pretraining_step_flops(
        config,
        rows,
        length,
        predictions=arrays["masked_lm_ids"].shape[-1],
        max_sequences_per_row=arrays["next_sentence_labels"].shape[-1],
    )
    tokens = tokens_per_batch(arrays)
    tflops = flops / seconds / 1e12
    return {
        "tokens_per_second": tokens / seconds,
        "padding_share": 1 - tokens / (rows * length),
        "tflops": tflops,
        "peak_share": tflops / peak_tflops if peak_tflops else None,
    }


def describe_devices(training: JaxTraining) -> dict[str, Any]:
    """Return the kind and number of the devices, and the versions of the packages that matter."""
    device = training.engine.devices.devices[0]
    return {
        "device": device.platform,
        "device_kind": device.device_kind,
        "num_devices": training.engine.num_devices,
        "versions": {name: version(name) for name in ("jax", "jaxlib", "keras")},
    }
