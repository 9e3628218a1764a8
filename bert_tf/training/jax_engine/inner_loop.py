"""The inner loop, which hands steps to the devices without waiting for their results."""

import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from bert_tf.training.jax_engine.devices import Devices
from bert_tf.training.jax_engine.state import JaxState
from bert_tf.training.jax_engine.step import TrainStep

# The devices never wait for the host, which hands them the next steps while one runs. More steps would only hold the
# memory of more batches.
_STEPS_AHEAD = 2


def jitted(step: TrainStep, state: JaxState, devices: Devices) -> Any:
    """Return the step as the program that runs on the devices, in which the new arrays overwrite the old ones.

    Args:
        step: the step.
        state: the state whose arrays the step takes.
        devices: the devices.
    """
    return jax.jit(step, donate_argnums=0, out_shardings=(state.shardings(), devices.replicated))


class InnerLoop:
    """A loop of compiled steps.

    Args:
        state: the state that the steps change.
        step: the step.
        devices: the devices.

    Attributes:
        names: the names of a step's metrics, known once the loop has run.
    """

    def __init__(self, state: JaxState, step: TrainStep, devices: Devices) -> None:
        self.names = step.names
        self._state, self._step, self._devices = state, step, devices
        self._compiled = jitted(step, state, devices)

    def __call__(self, batches: Iterator[Any], count: int) -> tuple[np.ndarray, float]:
        """Run `count` steps on the next batches, and keep their results in the state.

        Returns:
            The metrics of each step as (sum, weight) pairs, float32 [count, names, 2], and the seconds for which the
            devices had nothing to do before a batch came.
        """
        arrays = self._state.arrays()
        fixed = jax.tree.map(lambda value: self._devices.place(value, self._devices.replicated), self._fixed())
        metrics: list[Any] = []
        waited = 0.0
        try:
            for _ in range(count):
                asked = time.monotonic()
                batch = next(batches)
                if not metrics or metrics[-1].is_ready():
                    waited += time.monotonic() - asked
                arrays, of_step = self._compiled(arrays, fixed, batch)
                metrics.append(of_step)
                if len(metrics) > _STEPS_AHEAD:
                    metrics[-1 - _STEPS_AHEAD].block_until_ready()
            return np.stack(jax.device_get(metrics)), waited
        finally:
            self._state.set_arrays(arrays)

    def _fixed(self) -> Any:
        return self._step.fixed_values()
