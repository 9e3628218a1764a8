"""The training step as a pure function over the global batch, which `jax.jit` partitions over the devices.

Random numbers are made from (seed, step, row of the global batch, layer), as in the TensorFlow engine. So both engines,
on any number of devices, draw the same dropout masks and compute the same update, up to rounding.
"""

from typing import Any

import jax
import jax.numpy as jnp
import keras

from bert_tf import optimization
from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.features import Batch, Tensor
from bert_tf.fusion import recomputing
from bert_tf.layers.random_bits import fold_in
from bert_tf.objectives.objective import Objective
from bert_tf.training import loss_scale
from bert_tf.training.engine import Compute
from bert_tf.training.jax_engine import private_gradients
from bert_tf.training.jax_engine.devices import AXIS, Devices
from bert_tf.training.jax_engine.state import Arrays, JaxState
from bert_tf.training.step_metrics import NONFINITE_GRADIENT

Gradients = dict[str, Tensor]


class TrainStep:
    """A pure function (arrays of the state, fixed values of the model, batch) -> (new arrays, metrics of the step).

    The metrics are float32 [names, 2], the (sum, weight) pairs of losses and metrics, of `gradient_norm` before
    clipping, and of `NONFINITE_GRADIENT`. With `train.skip_nonfinite`, a step whose losses, metrics or gradient are not
    finite changes nothing but the number of steps.

    Args:
        state: the state whose arrays the step takes. Only its model and its names are used.
        objective: the losses and metrics.
        train: the seed, the learning rate and the averages.
        optimizer: the update rule.
        devices: the devices that the rows are divided over.

    Attributes:
        names: the names of the metrics, known once the step has been traced.

    Raises:
        ValueError: the objective compares the rows of several devices, and the batch is accumulated in parts.
    """

    def __init__(
        self, state: JaxState, objective: Objective, *, train: TrainConfig, optimizer: OptimizerConfig, devices: Devices
    ) -> None:
        self.names: list[str] = []
        self._model = state.model
        self._objective = objective
        self._train, self._optimizer = train, optimizer
        self._devices = devices
        self._weight_names = list(state.weights)
        by_id = {id(weight): name for name, weight in state.weights.items()}
        self._trained = [by_id.get(id(variable)) for variable in state.model.trainable_variables]
        if objective.gathered_features and len(devices.devices) > 1 and train.gradient_accumulation_steps > 1:
            raise ValueError(
                "`train.gradient_accumulation_steps` must be 1 for a loss that compares the rows of several devices. "
                f"Received: {train.gradient_accumulation_steps} on {len(devices.devices)} devices"
            )

    def fixed_values(self) -> tuple[list[Any], list[Any]]:
        """Return the model's values that no step changes: those of frozen weights, and those that are no weights."""
        model = self._model
        frozen = [
            variable.value
            for variable, name in zip(model.trainable_variables, self._trained, strict=True)
            if name is None
        ]
        return frozen, [variable.value for variable in model.non_trainable_variables]

    def __call__(self, arrays: Arrays, fixed: tuple[list[Any], list[Any]], batch: Batch) -> tuple[Arrays, Tensor]:
        """Return the arrays after one update, and the step's metrics."""
        rows = next(iter(batch.values())).shape[0]
        parts = self._train.gradient_accumulation_steps
        if rows % (parts * len(self._devices.devices)):
            raise ValueError(
                "a batch's rows must be a multiple of the devices x `train.gradient_accumulation_steps`. "
                f"Received: {rows} rows, {len(self._devices.devices)} x {parts}"
            )
        seeds = fold_in(fold_in(self._train.seed, arrays["step"]), jnp.arange(rows, dtype="uint32"))
        weights = self._objective.weights(batch)
        if parts == 1:
            gradients, sums = self._gradients_and_sums(arrays, fixed, batch, weights, seeds)
        else:
            gradients, sums = self._accumulated(arrays, fixed, batch, weights, seeds)
        if self._objective.private is not None:
            gradients = private_gradients.noised(gradients, self._objective.private, arrays["step"])
        return self._applied(arrays, gradients, sums)

    def _accumulated(
        self, arrays: Arrays, fixed: tuple[list[Any], list[Any]], batch: Batch, weights: Batch, seeds: Tensor
    ) -> tuple[Gradients, Tensor]:
        """Return the sums of `_gradients_and_sums` over parts of the rows, computed one after another."""
        parts = jax.tree.map(self._in_parts, (batch, seeds))
        first = jax.tree.map(lambda array: array[0], parts)
        shapes = jax.eval_shape(lambda rows: self._gradients_and_sums(arrays, fixed, rows[0], weights, rows[1]), first)

        def add(total: Any, part: tuple[Batch, Tensor]) -> tuple[Any, None]:
            found = self._gradients_and_sums(arrays, fixed, part[0], weights, part[1])
            return jax.tree.map(jnp.add, total, found), None

        zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
        return jax.lax.scan(add, zeros, parts)[0]

    def _in_parts(self, array: Tensor) -> Tensor:
        """Return the rows as [parts, rows of a part, ...]; each part has rows of every device, so that none moves."""
        parts, count = self._train.gradient_accumulation_steps, len(self._devices.devices)
        own = array.shape[0] // (parts * count)
        split = jnp.swapaxes(array.reshape(count, parts, own, *array.shape[1:]), 0, 1)
        split = split.reshape(parts, count * own, *array.shape[1:])
        if count == 1:
            return split
        sharding = jax.sharding.NamedSharding(self._devices.mesh, jax.sharding.PartitionSpec(None, AXIS))
        return jax.lax.with_sharding_constraint(split, sharding)

    def _gradients_and_sums(
        self, arrays: Arrays, fixed: tuple[list[Any], list[Any]], batch: Batch, loss_weights: Batch, seeds: Tensor
    ) -> tuple[Gradients, Tensor]:
        """Return the gradients, losses and metrics of some rows of a batch, whose loss weights are `loss_weights`.

        Private gradients are the sums of the rows' clipped ones, not divided by the weights.
        """
        objective = self._objective

        def loss_and_sums(weights: Gradients, batch: Batch, seeds: Tensor) -> tuple[Tensor, Tensor]:
            frozen = iter(fixed[0])
            trainable = [next(frozen) if name is None else weights[name] for name in self._trained]
            with self._devices.compiled_for(), recomputing(self._devices.platform != "cpu"):
                outputs, _ = self._model.stateless_call(trainable, fixed[1], batch, training=True, seed=seeds)
            sums = objective.losses(outputs, batch)
            private = objective.private is not None
            loss = sum(
                total / (1.0 if private else jnp.maximum(loss_weights[name], 1e-6)) for name, (total, _) in sums.items()
            )
            if arrays["loss_scale"]:
                loss = loss * arrays["loss_scale"][loss_scale.SCALE]
            sums = sums | objective.metrics(outputs, batch) | objective.batch_metrics(batch)
            # The names are kept here, because JAX would sort those of a dictionary that it returns.
            self.names[:] = [*sums, "gradient_norm"] + ([] if arrays["loss_scale"] else [NONFINITE_GRADIENT])
            return loss, jnp.stack([_pair(*pair) for pair in sums.values()])

        gradient_of = jax.grad(loss_and_sums, has_aux=True)
        if objective.private is not None:
            clip_norm = objective.private.clip_norm
            return private_gradients.clipped_sum(gradient_of, arrays["weights"], batch, seeds, clip_norm=clip_norm)
        gradients, sums = gradient_of(arrays["weights"], batch, seeds)
        if self._train.shard_optimizer:
            # Otherwise the backward pass is divided like the moments, and sends activations between the devices.
            gradients = jax.lax.with_sharding_constraint(gradients, self._devices.replicated)
        return gradients, sums

    def _applied(self, arrays: Arrays, gradients: Gradients, sums: Tensor) -> tuple[Arrays, Tensor]:
        """Clip the gradients, update the arrays, and add the gradient's norm to the metrics."""
        train, optimizer, step = self._train, self._optimizer, arrays["step"]
        squares = optimization.squared_norms([gradients[name] for name in self._weight_names])
        norm, finite = self._norm_and_finite(arrays, squares, sums)
        factor = optimization.clip_factor(norm, optimizer.clip_norm)
        if arrays["loss_scale"]:
            factor = factor / arrays["loss_scale"][loss_scale.SCALE]
        rate = optimization.learning_rate_at(step, train, optimizer)
        layer_factors = optimization.layer_factors(self._weight_names, optimizer.layer_decay)
        new: Arrays = {"weights": {}, "moments": {}, "averages": {}, "loss_scale": {}, "step": step + 1}
        for name, layer_factor in zip(self._weight_names, layer_factors, strict=True):
            old = (arrays["weights"][name], *arrays["moments"][name])
            updated: tuple[Tensor, ...] = optimization.update(
                old[0],
                gradients[name].astype("float32") * factor,
                *old[1:],
                step=step,
                learning_rate=rate * layer_factor,
                decayed=optimization.is_decayed(name),
                config=optimizer,
                matrices=optimization.matrices_in(name),
            )
            if finite is not None:
                updated = tuple(jnp.where(finite, after, before) for after, before in zip(updated, old, strict=True))
            new["weights"][name], *moments = updated
            new["moments"][name] = tuple(moments)
        if arrays["loss_scale"]:
            new["loss_scale"] = loss_scale.next_values(
                arrays["loss_scale"][loss_scale.SCALE], arrays["loss_scale"][loss_scale.FINITE_STEPS], finite
            )
        share = optimization.average_share(new["step"], train.ema_decay)
        new["averages"] = {
            name: average + share * (new["weights"][name] - average) for name, average in arrays["averages"].items()
        }
        return new, jnp.concatenate([sums, self._norm_metrics(arrays, squares, norm, finite)])

    def _norm_and_finite(self, arrays: Arrays, squares: list[Tensor], sums: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the gradient's norm, and whether the update is made, which is None if every update is."""
        norm = optimization.root_of_sum(squares)
        if arrays["loss_scale"]:
            norm = norm / arrays["loss_scale"][loss_scale.SCALE]
            return norm, jnp.isfinite(norm)
        if self._train.skip_nonfinite:
            return norm, jnp.isfinite(norm) & jnp.isfinite(sums[:, 0]).all()
        return norm, None

    def _norm_metrics(self, arrays: Arrays, squares: list[Tensor], norm: Tensor, finite: Tensor | None) -> Tensor:
        if arrays["loss_scale"]:
            # A step in which the loss scale caused an overflow is skipped, and counts in no metric.
            assert finite is not None
            return _pair(jnp.where(finite, norm, 0.0), finite)[None]
        bad = ~jnp.isfinite(jnp.stack(squares))
        number = jnp.where(bad.any(), jnp.argmax(bad) + 1, 0)
        return jnp.stack([_pair(norm, 1.0), _pair(number, 1.0)])


def _pair(total: Any, weight: Any) -> Tensor:
    return jnp.stack([jnp.asarray(total, "float32"), jnp.asarray(weight, "float32")])


def evaluated_call(
    model: keras.Model,
    values: tuple[list[Any], list[Any]],
    batch: Batch,
    devices: Devices,
    compute: Compute | None = None,
) -> Any:
    """Return the model's outputs for a batch, without dropout, as a pure function of its values (`model_values`).

    With `compute`, return what it computes instead.
    """
    with devices.compiled_for():
        if compute is None:
            return model.stateless_call(*values, batch, training=False)[0]
        variables = [*model.trainable_variables, *model.non_trainable_variables]
        with keras.StatelessScope(state_mapping=list(zip(variables, [*values[0], *values[1]], strict=True))):
            return compute(model, batch)


def model_values(model: keras.Model) -> tuple[list[Any], list[Any]]:
    """Return the values of the model's variables that can be trained, and those of the others."""
    return (
        [variable.value for variable in model.trainable_variables],
        [variable.value for variable in model.non_trainable_variables],
    )
