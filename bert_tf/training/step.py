"""One training step: forward, backward, one all-reduce, clip, update.

The step is a function of what it is given. Random numbers are made from (seed, step, replica, layer); there is no
generator state. Losses are divided once, by weights that are summed over all replicas, so that N replicas compute what
one computes.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from bert_tf import optimization
from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.layers.random_bits import fold_in
from bert_tf.losses import Sums
from bert_tf.models.weights import named_weights
from bert_tf.training.distribution import Distribution

SumsFunction = Callable[[Any, dict[str, Any]], Sums]
"""(model outputs, batch) -> named (sum, weight) pairs."""

DTYPE_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
"""`train.precision` -> Keras dtype policy: the computation's dtype; variables are float32 in all of them."""

_INITIAL_LOSS_SCALE = 2.0**15
_LOSS_SCALE_GROWTH_STEPS = 2000


class TrainState:
    """Everything that a step changes: the model's weights, the optimizer's moments, the number of updates made.

    Under a strategy it must be made in its scope, like the model.
    """

    def __init__(self, model: keras.Model, precision: str = "float32") -> None:
        self.model = model
        self.weights = {name: weight for name, weight in named_weights(model).items() if weight.trainable}
        self.moments = {
            name: tuple(tf.Variable(tf.zeros(weight.shape), trainable=False) for _ in optimization.MOMENTS)
            for name, weight in self.weights.items()
        }
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        # Small float16 gradients round to zero: the loss is scaled up, and the scale adapts (Micikevicius et al. 2018).
        self.loss_scale = tf.Variable(_INITIAL_LOSS_SCALE, trainable=False) if precision == "float16" else None
        self.finite_steps = tf.Variable(0, trainable=False) if precision == "float16" else None

    def variables(self) -> dict[str, Any]:
        """All of it by name, as a checkpoint holds it."""
        named: dict[str, Any] = dict(named_weights(self.model))
        for name, moments in self.moments.items():
            named |= {f"{kind}:{name}": moment for kind, moment in zip(optimization.MOMENTS, moments, strict=True)}
        named["step"] = self.step
        if self.loss_scale is not None:
            named |= {"loss_scale": self.loss_scale, "finite_steps": self.finite_steps}
        return named


def make_train_step(
    state: TrainState,
    losses: SumsFunction,
    metrics: SumsFunction,
    train: TrainConfig,
    optimizer: OptimizerConfig,
    distribution: Distribution,
) -> Callable[[dict[str, tf.Tensor]], Sums]:
    """The step of one replica, to be called inside `Distribution.run`.

    Args:
        state: what the step reads and changes.
        losses: of the model's outputs; the training loss is the sum of their ratios.
        metrics: reported beside the losses.
        train: seed and learning rate.
        optimizer: the update rule.
        distribution: for the all-reduce and the update in place.

    Returns:
        A function of this replica's batch, which updates `state` and returns the sums over all replicas of losses and
        metrics, and `gradient_norm` before clipping.
    """
    names = list(state.weights)
    variables = [state.weights[name] for name in names]

    def forward_backward(batch: dict[str, tf.Tensor], seed: Any) -> tuple[list[tf.Tensor], Sums]:
        with tf.GradientTape() as tape:
            outputs = state.model(batch, training=True, seed=seed)
            parts = losses(outputs, batch)
            # The weights come from the batch alone, so their sum over replicas does not wait for the forward pass.
            totals = distribution.all_reduce([weight for _, weight in parts.values()])
            terms = [
                total / tf.maximum(weight, 1e-6) for (total, _), weight in zip(parts.values(), totals, strict=True)
            ]
            loss = tf.add_n(terms)
            if state.loss_scale is not None:
                loss = loss * state.loss_scale
        # Dense: Adam's moments are wrong for sparse gradients with repeated rows, as embeddings have.
        gradients = [
            tf.zeros(variable.shape) if gradient is None else tf.convert_to_tensor(gradient)
            for variable, gradient in zip(
                variables, tape.gradient(loss, [variable.value for variable in variables]), strict=True
            )
        ]
        return gradients, parts | metrics(outputs, batch)

    def train_step(batch: dict[str, tf.Tensor]) -> Sums:
        step = tf.identity(state.step)
        seed = fold_in(fold_in(train.seed, step), distribution.replica_id())
        gradients, sums = forward_backward(batch, seed)
        # One reduction for gradients and figures together.
        flat = [value for pair in sums.values() for value in pair]
        reduced = distribution.all_reduce(gradients + flat)
        gradients, flat = reduced[: len(gradients)], reduced[len(gradients) :]
        sums = {name: (flat[2 * i], flat[2 * i + 1]) for i, name in enumerate(sums)}

        norm = optimization.global_norm(gradients)
        finite = None
        if state.loss_scale is not None:
            norm = norm / state.loss_scale
            finite = tf.math.is_finite(norm)
        factor = optimization.clip_factor(norm, optimizer.clip_norm)
        if state.loss_scale is not None:
            factor = factor / state.loss_scale
        rate = optimization.learning_rate_at(step, train, optimizer)

        def update(index: int, group: tuple[tf.Variable, ...], gradient: tf.Tensor) -> None:
            decayed = optimization.is_decayed(names[index])
            old = [tf.convert_to_tensor(variable) for variable in group]
            new = optimization.update(old[0], gradient * factor, old[1], old[2], step, rate, decayed, optimizer)
            for variable, before, after in zip(group, old, new, strict=True):
                variable.assign(after if finite is None else tf.where(finite, after, before))

        groups = [(state.weights[name].value, *state.moments[name]) for name in names]
        distribution.update(groups, gradients, update)
        _advance(state, finite, distribution)
        if finite is None:
            return sums | {"gradient_norm": (norm, tf.ones(()))}
        # A step that the loss scale made overflow is skipped: it counts in no figure.
        counted = tf.cast(finite, tf.float32)
        return sums | {"gradient_norm": (tf.where(finite, norm, 0.0), counted)}

    return train_step


def _advance(state: TrainState, finite: tf.Tensor | None, distribution: Distribution) -> None:
    """Count the step; under float16, halve the loss scale after an overflow and double it after a long time without."""
    counters: list[tuple[tf.Variable, ...]] = [(state.step,)]
    values: list[Any] = [tf.identity(state.step) + 1]
    if finite is not None:
        good = tf.where(finite, tf.identity(state.finite_steps) + 1, 0)
        grown = good >= _LOSS_SCALE_GROWTH_STEPS
        scale = tf.identity(state.loss_scale)
        scale = tf.where(finite, tf.where(grown, scale * 2.0, scale), tf.maximum(scale * 0.5, 1.0))
        counters += [(state.loss_scale,), (state.finite_steps,)]
        values += [scale, tf.where(grown, 0, good)]
    distribution.update(counters, values, lambda _, group, value: group[0].assign(value))


def make_evaluation_step(
    model: keras.Model, sums: SumsFunction, distribution: Distribution
) -> Callable[[dict[str, tf.Tensor]], Sums]:
    """The sums over all replicas of one batch, without dropout; to be called inside `Distribution.run`."""

    def evaluation_step(batch: dict[str, tf.Tensor]) -> Sums:
        pairs = sums(model(batch, training=False), batch)
        flat = distribution.all_reduce([value for pair in pairs.values() for value in pair])
        return {name: (flat[2 * i], flat[2 * i + 1]) for i, name in enumerate(pairs)}

    return evaluation_step
