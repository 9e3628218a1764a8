"""One training step: forward, backward, one all-reduce, clip, update.

The step is a function of what it is given. Random numbers are made from (seed, step, replica, layer); there is no
generator state. Losses are divided once, by weights that are summed over all replicas, so that N replicas compute what
one computes.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import tensorflow as tf

from bert_tf import optimization
from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.fusion import fusion_compiled_by
from bert_tf.layers.random_bits import fold_in
from bert_tf.models.weights import named_weights
from bert_tf.objectives.losses import Sums
from bert_tf.objectives.objective import Batch, Objective
from bert_tf.training.tensorflow_engine.averages import WeightAverages
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.xla_fusion import XlaFusion, in_one_program

DTYPE_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
"""`train.precision` -> Keras dtype policy: the computation's dtype; variables are float32 in all of them."""

NONFINITE_GRADIENT = "nonfinite_gradient"
"""Among a step's figures: the place, counted from 1, of the first weight whose gradient is not finite; 0 for none."""

_INITIAL_LOSS_SCALE = 2.0**15
_LOSS_SCALE_GROWTH_STEPS = 2000


class TrainState:
    """Everything that a step changes: the model's weights, the optimizer's moments, the number of updates made.

    Under a strategy it must be made in its scope, like the model.

    Args:
        model: of `bert_tf.models`.
        precision: `train.precision`.
        train: what is frozen and averaged; by default nothing.

    Attributes:
        weights: those that are trained, by name.
        averages: of them; None for none.

    Raises:
        ValueError: `train.frozen` names no weight, or leaves none.
    """

    def __init__(self, model: keras.Model, precision: str = "float32", train: TrainConfig | None = None) -> None:
        self.model = model
        frozen = train.frozen if train is not None else ()
        self.weights = trained_weights(model, frozen)
        self.averages = WeightAverages(self.weights) if train is not None and train.ema_decay else None
        self._evaluates_averages = train is not None and train.use_average
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
        if self.averages is not None:
            named |= self.averages.variables()
        named["step"] = self.step
        if self.loss_scale is not None:
            named |= {"loss_scale": self.loss_scale, "finite_steps": self.finite_steps}
        return named

    def evaluated_weights(self) -> AbstractContextManager[None]:
        """A block in which the model has the weights that an evaluation is of: the averages, if there are some."""
        return self.averages.in_place() if self.averages is not None and self._evaluates_averages else nullcontext()


def trained_weights(model: keras.Model, frozen: Sequence[str]) -> dict[str, Any]:
    """The weights that training changes, by name: all but those whose names one of `frozen` matches from the start.

    Raises:
        ValueError: a pattern matches no weight, or no weight is left.
    """
    weights = {name: weight for name, weight in named_weights(model).items() if weight.trainable}
    for pattern in frozen:
        if not any(re.match(pattern, name) for name in weights):
            raise ValueError(
                f"`train.frozen` must match names of weights, such as {next(iter(weights))}. Received: {pattern!r}"
            )
    left = {name: weight for name, weight in weights.items() if not any(re.match(pattern, name) for pattern in frozen)}
    if not left:
        raise ValueError(f"`train.frozen` must leave a weight to train. Received: {', '.join(frozen)}")
    return left


def make_train_step(
    state: TrainState, objective: Objective, train: TrainConfig, optimizer: OptimizerConfig, distribution: Distribution
) -> Callable[[Batch], Sums]:
    """The step of one replica, to be called inside `Distribution.run`.

    Args:
        state: what the step reads and changes.
        objective: losses and metrics.
        train: seed, learning rate, and how the step is compiled.
        optimizer: the update rule.
        distribution: for the all-reduce and the update in place.

    Returns:
        A function of this replica's batch, which updates `state` and returns the sums over all replicas of losses and
        metrics, `gradient_norm` before clipping, and `NONFINITE_GRADIENT`. With `train.skip_nonfinite`, a step
        whose losses, metrics or gradient are not finite changes nothing but the number of steps.
    """
    names = list(state.weights)
    variables = [state.weights[name] for name in names]
    scope = _xla_scope(train, distribution)
    compiler = XlaFusion() if scope == "fused" else None
    compute_dtype = state.model.compute_dtype
    parts = train.concurrent_parts if _on_cpu() else 1
    several_parts = parts * train.gradient_accumulation_steps > 1

    compares = distribution.num_replicas > 1 and objective.compares
    if compares and train.gradient_accumulation_steps > 1:
        raise ValueError(
            "`train.gradient_accumulation_steps` must be 1 for a loss that compares the rows of several replicas. "
            f"Received: {train.gradient_accumulation_steps} on {distribution.num_replicas} replicas"
        )

    def of_all_replicas(outputs: Any, batch: Batch) -> tuple[Any, Batch]:
        """For a loss that compares rows: the others' are constants, and every replica has the whole loss.

        So the gradient by this replica's outputs is that of the whole loss, and the sum over replicas counts it once.
        """
        if not compares:
            return outputs, batch
        flat = tf.nest.flatten(outputs)
        gathered = distribution.all_gather([*flat, *(batch[name] for name in compares)])
        rows = dict(zip(compares, gathered[len(flat) :], strict=True))
        return tf.nest.pack_sequence_as(outputs, gathered[: len(flat)]), rows

    def gradients_and_sums(batch: Batch, weights: dict[str, Any], seed: Any) -> tuple[list[tf.Tensor], Sums]:
        """Of this batch, or part of one whose `weights` are those of the whole."""
        copies = {} if compiler is None else compiler.copy(variables, compute_dtype)
        with fusion_compiled_by(compiler):
            with tf.GradientTape() as tape:
                tape.watch(copies)
                outputs, rows = of_all_replicas(state.model(batch, training=True, seed=seed), batch)
                sums = objective.losses(outputs, rows)
                loss = tf.add_n([total / tf.maximum(weights[name], 1e-6) for name, (total, _) in sums.items()])
                if state.loss_scale is not None:
                    loss = loss * state.loss_scale
            found, of_copies = tape.gradient(loss, ([variable.value for variable in variables], copies))
            sums = sums | objective.metrics(outputs, rows)
        if compares:  # each replica has the sums of all: they shall be counted once
            sums = tf.nest.map_structure(lambda value: value / distribution.num_replicas, sums)
        sums = sums | objective.batch_figures(batch)
        gradients = [
            _dense_sum(variable, gradient, of_copies.get(place))
            for place, (variable, gradient) in enumerate(zip(variables, found, strict=True))
        ]
        if several_parts:  # whose sum shall have float32's digits
            gradients = [tf.cast(gradient, tf.float32) for gradient in gradients]
        return gradients, sums

    def apply(gradients: list[tf.Tensor], sums: Sums, squares: list[tf.Tensor] | None = None) -> Sums:
        step = tf.identity(state.step)
        squares = optimization.squared_norms(gradients) if squares is None else squares
        norm = optimization.root_of_sum(squares)
        finite = None
        if state.loss_scale is not None:
            norm = norm / state.loss_scale
            finite = tf.math.is_finite(norm)
        elif train.skip_nonfinite:
            finite = tf.reduce_all(tf.math.is_finite(tf.stack([norm, *(total for total, _ in sums.values())])))
        factor = optimization.clip_factor(norm, optimizer.clip_norm)
        if state.loss_scale is not None:
            factor = factor / state.loss_scale
        rate = optimization.learning_rate_at(step, train, optimizer)
        layer_factors = optimization.layer_factors(names, optimizer.layer_decay)

        def update(index: int, group: tuple[tf.Variable, ...], gradient: tf.Tensor) -> None:
            decayed = optimization.is_decayed(names[index])
            old = [tf.convert_to_tensor(variable) for variable in group]
            layer_rate = rate * layer_factors[index]
            gradient = tf.cast(gradient, tf.float32) * factor
            new = optimization.update(old[0], gradient, old[1], old[2], step, layer_rate, decayed, optimizer)
            for variable, before, after in zip(group, old, new, strict=True):
                variable.assign(after if finite is None else tf.where(finite, after, before))

        groups = [(state.weights[name].value, *state.moments[name]) for name in names]
        distribution.update(groups, gradients, update)
        _advance(state, finite, distribution)
        if state.loss_scale is None:
            bad = tf.cast(~tf.math.is_finite(tf.stack(squares)), tf.float32)
            place = tf.reduce_max(bad) * tf.cast(tf.argmax(bad) + 1, tf.float32)
            return {"gradient_norm": (norm, tf.ones(())), NONFINITE_GRADIENT: (place, tf.ones(()))}
        # A step that the loss scale made overflow is skipped: it counts in no figure.
        return {"gradient_norm": (tf.where(finite, norm, 0.0), tf.cast(finite, tf.float32))}

    if scope == "step" and parts > 1:
        gradients_and_sums = in_one_program(gradients_and_sums)
    if scope == "fused" or (scope == "step" and parts > 1):
        apply = in_one_program(apply)  # changes the variables in place

    def at_once(batch: Batch, weights: dict[str, Any], seed: Any) -> tuple[list[tf.Tensor], Sums]:
        if parts == 1:
            return gradients_and_sums(batch, weights, seed)
        results = [
            gradients_and_sums(part, weights, fold_in(seed, number)) for number, part in enumerate(_split(batch, parts))
        ]
        return tf.nest.map_structure(lambda *values: tf.add_n(values), *results)

    def train_step(batch: Batch) -> Sums:
        rows = next(iter(batch.values())).shape[0]
        if rows % (parts * train.gradient_accumulation_steps):
            raise ValueError(
                "a replica's rows must be a multiple of `train.concurrent_parts` x `train.gradient_accumulation_steps`"
                f". Received: {rows} rows, {parts} x {train.gradient_accumulation_steps}"
            )
        seed = fold_in(fold_in(train.seed, tf.identity(state.step)), distribution.replica_id())
        weights = objective.weights(batch)
        weights = dict(zip(weights, distribution.all_reduce(list(weights.values())), strict=True))
        gradients, sums = _accumulate(at_once, batch, weights, seed, train.gradient_accumulation_steps)
        # One reduction for gradients and figures together.
        reduced = distribution.all_reduce(gradients + tf.nest.flatten(sums))
        sums = tf.nest.pack_sequence_as(sums, reduced[len(gradients) :])
        gradients = reduced[: len(gradients)]
        return sums | apply(gradients, sums, _squared_norms_outside_xla(gradients) if scope == "fused" else None)

    return in_one_program(train_step) if scope == "step" and parts == 1 else train_step


def _xla_scope(train: TrainConfig, distribution: Distribution) -> str:
    """What XLA compiles as one program: `step`, `fused` or `nothing`; see `TrainConfig.xla_scope`."""
    if not train.jit_compile or distribution.strategy is not None:
        return "nothing"
    if train.xla_scope != "auto":
        return train.xla_scope
    return "fused" if _on_cpu() and train.precision == "bfloat16" else "step"


def _on_cpu() -> bool:
    return not any(tf.config.list_logical_devices(kind) for kind in ("GPU", "TPU"))


def _dense_sum(variable: Any, gradient: Any, of_copy: tf.Tensor | None) -> tf.Tensor:
    """Of what came back for a variable and for its copy in the compute dtype, whose dtype it has if it is all.

    Dense: Adam's moments are wrong for sparse gradients with repeated rows, as embeddings have.
    """
    if of_copy is None:
        return tf.zeros(variable.shape) if gradient is None else tf.convert_to_tensor(gradient)
    if gradient is None:
        return of_copy
    of_copy = tf.cast(of_copy, tf.float32)
    if isinstance(gradient, tf.IndexedSlices):
        return tf.tensor_scatter_nd_add(of_copy, gradient.indices[:, None], gradient.values)
    return of_copy + gradient


def _squared_norms_outside_xla(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """`optimization.squared_norms` by TensorFlow's own kernel, which uses a CPU's vectors; XLA's sums there do not."""
    return [2.0 * tf.nn.l2_loss(tf.cast(tensor, tf.float32)) for tensor in tensors]


def _split(batch: Batch, parts: int) -> list[Batch]:
    """The batch's rows in `parts` equal runs."""
    split = {name: tf.split(tensor, parts) for name, tensor in batch.items()}
    return [{name: tokens[number] for name, tokens in split.items()} for number in range(parts)]


def _accumulate(
    function: Callable[[Batch, dict[str, Any], Any], Any], batch: Batch, weights: dict[str, Any], seed: Any, count: int
) -> Any:
    """The sum of `function(part, weights, seed of the part)` over `count` parts of the batch, one after another."""
    if count == 1:
        return function(batch, weights, seed)
    parts = {name: tf.reshape(tensor, [count, -1, *tensor.shape[1:]]) for name, tensor in batch.items()}

    @tf.function
    def of_part(number: tf.Tensor) -> Any:
        return function({name: tensor[number] for name, tensor in parts.items()}, weights, fold_in(seed, number))

    # A loop needs to know what it sums before it starts; the trace that tells is the one that it runs.
    number = tf.constant(0)
    outputs = of_part.get_concrete_function(number).structured_outputs
    zeros = tf.nest.map_structure(lambda output: tf.zeros(output.shape, output.dtype), outputs)

    def add(number: tf.Tensor, total: Any) -> tuple[tf.Tensor, Any]:
        return number + 1, tf.nest.map_structure(tf.add, total, of_part(number))

    return tf.while_loop(lambda number, _: number < count, add, (number, zeros), maximum_iterations=count)[1]


def _advance(state: TrainState, finite: tf.Tensor | None, distribution: Distribution) -> None:
    """Count the step; under float16, halve the loss scale after an overflow and double it after a long time without."""
    counters: list[tuple[tf.Variable, ...]] = [(state.step,)]
    values: list[Any] = [tf.identity(state.step) + 1]
    if state.loss_scale is not None:
        good = tf.where(finite, tf.identity(state.finite_steps) + 1, 0)
        grown = good >= _LOSS_SCALE_GROWTH_STEPS
        scale = tf.identity(state.loss_scale)
        scale = tf.where(finite, tf.where(grown, scale * 2.0, scale), tf.maximum(scale * 0.5, 1.0))
        counters += [(state.loss_scale,), (state.finite_steps,)]
        values += [scale, tf.where(grown, 0, good)]
    distribution.update(counters, values, lambda _, group, value: group[0].assign(value))


def make_evaluation_step(
    model: keras.Model, objective: Objective, distribution: Distribution
) -> Callable[[Batch], Sums]:
    """The sums over all replicas of one batch, without dropout; to be called inside `Distribution.run`."""

    def evaluation_step(batch: Batch) -> Sums:
        outputs = model(batch, training=False)
        sums = objective.losses(outputs, batch) | objective.metrics(outputs, batch)
        return tf.nest.pack_sequence_as(sums, distribution.all_reduce(tf.nest.flatten(sums)))

    return evaluation_step
