"""The state of a training through JAX, which holds everything that a step changes."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.sharding import NamedSharding

from bert_tf import optimization
from bert_tf.configs import TrainConfig
from bert_tf.models.weights import named_weights
from bert_tf.training import loss_scale
from bert_tf.training.jax_engine.devices import Devices
from bert_tf.training.trained_weights import trained_weights, weights_in

Arrays = dict[str, Any]
"""A tree of arrays, which a step takes and returns: `weights`, `moments`, `averages`, `loss_scale` and `step`."""


class Slot:
    """A value of the state beside the model's weights, with the methods by which checkpoints read and write it.

    Args:
        value: the first value, whose shape and dtype are kept.
        fetch: a function that copies an array to the host.
        saved_dtype: the dtype in a checkpoint; None for that of the value.
    """

    def __init__(self, value: Any, fetch: Callable[[Any], np.ndarray], saved_dtype: str | None = None) -> None:
        self.value = value
        self._fetch = fetch
        self._saved_dtype = saved_dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return tuple(self.value.shape)

    def numpy(self) -> np.ndarray:
        """Return a copy of the value in the host's memory. If it is divided over processes, all must call this."""
        return self._fetch(self.value).astype(self._saved_dtype or self.value.dtype)

    def assign(self, value: Any) -> None:
        """Replace the value by another one of the same shape."""
        self.value = np.asarray(value).astype(self.value.dtype)


class JaxState:
    """The model's weights, the optimizer's moments and the number of updates.

    Args:
        model: a model of `bert_tf.models`, on Keras's JAX backend.
        devices: the devices.
        train: the precision, the frozen weights, the averages, and whether the moments are divided over the devices.

    Attributes:
        weights: the trained weights by name.
        moments: the optimizer's moments of each weight.
        averages: the moving averages of the trained weights by name; empty for none.
        loss_scale: the loss scale of float16 and its counter; empty for other precisions.
        step: the number of updates.

    Raises:
        ValueError: `train.frozen` names no weight, or leaves none.
    """

    def __init__(self, model: keras.Model, devices: Devices, train: TrainConfig | None = None) -> None:
        train = train or TrainConfig()
        self.model = model
        self.weights = trained_weights(model, train.frozen)
        self._devices = devices
        self._shards_moments = train.shard_optimizer
        self._evaluates_averages = train.use_average
        self.moments = {
            name: tuple(self._slot(np.zeros(weight.shape, np.float32)) for _ in optimization.MOMENTS)
            for name, weight in self.weights.items()
        }
        self.averages = (
            {name: self._slot(np.zeros(weight.shape, np.float32)) for name, weight in self.weights.items()}
            if train.ema_decay
            else {}
        )
        # JAX counts in 32 bits, and TensorFlow, which continues from the same checkpoints, in 64.
        self.step = self._slot(np.zeros((), np.int32), "int64")
        first = loss_scale.first_values() if train.precision == "float16" else {}
        self.loss_scale = {name: self._slot(value) for name, value in first.items()}
        self._norm = jax.jit(optimization.global_norm)

    def _slot(self, value: Any, saved_dtype: str | None = None) -> Slot:
        return Slot(value, self._devices.fetch, saved_dtype)

    @property
    def num_updates(self) -> int:
        """The number of updates made so far."""
        return int(self.step.value)

    def variables(self) -> dict[str, Any]:
        """Return everything that a checkpoint holds, by name.

        If the moments are divided over several processes, reading one is a collective operation.
        """
        named: dict[str, Any] = dict(named_weights(self.model))
        for name, moments in self.moments.items():
            named |= {f"{kind}:{name}": moment for kind, moment in zip(optimization.MOMENTS, moments, strict=True)}
        named |= {optimization.AVERAGE_PREFIX + name: average for name, average in self.averages.items()}
        named["step"] = self.step
        return named | self.loss_scale

    @property
    def is_read_together(self) -> bool:
        """Return whether all processes must read the variables together, because each has a part of some."""
        return self._shards_moments and self._devices.num_processes > 1

    def start_averages(self) -> None:
        """Let the averages start from copies of the present weights, because a step overwrites its inputs' memory."""
        for name, average in self.averages.items():
            average.value = self._devices.fetch(self.weights[name].value)

    @contextmanager
    def evaluated_weights(self) -> Iterator[None]:
        """Return a context in which the model has the weights to evaluate: the averages, if there are some."""
        if not (self.averages and self._evaluates_averages):
            yield
            return
        self._swap_averages()
        try:
            yield
        finally:
            self._swap_averages()

    def _swap_averages(self) -> None:
        for name, average in self.averages.items():
            before = self.weights[name].value
            self.weights[name].assign(jnp.asarray(average.value))
            average.value = before

    def weight_norm(self) -> float:
        """Return the norm of all trained weights together."""
        return float(self._norm([weight.value for weight in self.weights.values()]))

    def of_part(self, model: keras.Model) -> "JaxState":
        """Return the state of a part of the model, which shares all its values with this one."""
        part = copy.copy(self)
        part.model = model
        part.weights = weights_in(model, self.weights)
        part.moments = {name: self.moments[name] for name in part.weights}
        part.averages = {name: average for name, average in self.averages.items() if name in part.weights}
        return part

    def shardings(self) -> Arrays:
        """Return the sharding of each of `arrays`."""
        whole = self._devices.replicated
        return {
            "weights": dict.fromkeys(self.weights, whole),
            "moments": {name: (self._moment_sharding(name),) * len(self.moments[name]) for name in self.moments},
            "averages": dict.fromkeys(self.averages, whole),
            "loss_scale": dict.fromkeys(self.loss_scale, whole),
            "step": whole,
        }

    def _moment_sharding(self, name: str) -> NamedSharding:
        if not self._shards_moments:
            return self._devices.replicated
        return self._devices.sharded_like_moments(self.weights[name].shape)

    def values(self) -> Arrays:
        """Return the values that a step changes, where they are now."""
        return {
            "weights": {name: weight.value for name, weight in self.weights.items()},
            "moments": {name: tuple(slot.value for slot in slots) for name, slots in self.moments.items()},
            "averages": {name: slot.value for name, slot in self.averages.items()},
            "loss_scale": {name: slot.value for name, slot in self.loss_scale.items()},
            "step": self.step.value,
        }

    def arrays(self) -> Arrays:
        """Return the arrays that a step takes, on the devices."""
        return jax.tree.map(self._devices.place, self.values(), self.shardings())

    def abstract_arrays(self) -> Arrays:
        """Return the shapes, dtypes and shardings of `arrays`, to compile a step without any device."""
        return jax.tree.map(
            lambda value, sharding: jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=sharding),
            self.values(),
            self.shardings(),
        )

    def set_arrays(self, arrays: Arrays) -> None:
        """Replace the values by the arrays that a step returned."""
        for name, array in arrays["weights"].items():
            self.weights[name].assign(array)
        for name, pair in arrays["moments"].items():
            for slot, array in zip(self.moments[name], pair, strict=True):
                slot.value = array
        for kind, slots in (("averages", self.averages), ("loss_scale", self.loss_scale)):
            for name, array in arrays[kind].items():
                slots[name].value = array
        self.step.value = arrays["step"]
