"""The training step: forward pass, backward pass, one all-reduce, clipping and update.

The step is a function of what it is given. Random numbers are made from (seed, step, row of the global batch, layer);
there is no generator state. Losses are divided once, by weights that are summed over all replicas. So N replicas
compute what one computes, with dropout, too.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from bert_tf import optimization
from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.features import Batch, Tensor
from bert_tf.fusion import recomputing, using_fusion_compiler
from bert_tf.layers.random_bits import fold_in
from bert_tf.objectives.losses import Sums
from bert_tf.objectives.objective import Objective
from bert_tf.training.step_metrics import NONFINITE_GRADIENT
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.partial_batches import accumulated, concurrently
from bert_tf.training.tensorflow_engine.row_gathering import RowGathering
from bert_tf.training.tensorflow_engine.state import TrainState
from bert_tf.training.tensorflow_engine.xla_fusion import XlaFusion, in_one_program

Gradients = list[tf.Tensor]


class TrainStep:
    """The step of one replica, to be called inside `Distribution.run`.

    A call takes this replica's rows, updates `state`, and returns sums over all replicas: losses, metrics,
    `gradient_norm` before clipping, and `NONFINITE_GRADIENT`. With `train.skip_nonfinite`, a step whose losses,
    metrics or gradient are not finite changes nothing but the number of steps.

    Args:
        state: the state that the step reads and changes.
        objective: the losses and metrics.
        train: the seed, the learning rate and the settings of compilation.
        optimizer: the update rule.
        distribution: the replicas.

    Raises:
        ValueError: the objective compares the rows of several replicas, and the batch is accumulated in parts.
    """

    def __init__(
        self,
        state: TrainState,
        objective: Objective,
        *,
        train: TrainConfig,
        optimizer: OptimizerConfig,
        distribution: Distribution,
    ) -> None:
        self._state, self._objective = state, objective
        self._train, self._optimizer = train, optimizer
        self._distribution = distribution
        self._names = list(state.weights)
        self._variables = list(state.weights.values())
        self._scope = _xla_scope(train, distribution)
        self._fusion = XlaFusion() if self._scope == "fused" else None
        self._recomputes = distribution.is_tpu or (self._scope == "step" and not _on_cpu())
        self._gathering = RowGathering(objective, train, distribution)
        self._parts = train.concurrent_parts if _on_cpu() else 1
        self._num_parts = self._parts * train.gradient_accumulation_steps

        in_parts = self._scope == "step" and self._parts > 1
        gradients_of = in_one_program(self._gradients_and_sums) if in_parts else self._gradients_and_sums
        concurrent = concurrently(gradients_of, self._parts, compiled=self._scope != "nothing")
        self._gradients_of = accumulated(concurrent, train.gradient_accumulation_steps)
        self._apply_gradients = in_one_program(self._apply) if in_parts or self._scope == "fused" else self._apply
        self._step = in_one_program(self._run) if self._scope == "step" and self._parts == 1 else self._run

    def __call__(self, batch: Batch) -> Sums:
        """Make one update from this replica's rows, and return the sums over all replicas."""
        return self._step(batch)

    def _run(self, batch: Batch) -> Sums:
        self._check_rows(batch)
        seeds = self._seeds_of_rows(batch)
        weights = self._objective.weights(batch)
        weights = dict(zip(weights, self._distribution.all_reduce(list(weights.values())), strict=True))
        gradients, sums = self._gradients_of(batch, weights, seeds)
        gradients, sums = self._reduced(gradients, sums)
        squares = _squared_norms_outside_xla(gradients) if self._scope == "fused" else None
        return sums | self._apply_gradients(gradients, sums, squares)

    def _seeds_of_rows(self, batch: Batch) -> Tensor:
        """Return a seed for each row, from the row's number in the global batch, uint32 [B].

        Every replica has consecutive rows of it, in the order of the replicas.
        """
        rows = _num_rows(batch)
        first = tf.cast(self._distribution.replica_id(), tf.uint32) * tf.constant(rows, tf.uint32)
        numbers = first + tf.cast(tf.range(rows), tf.uint32)
        return fold_in(fold_in(self._train.seed, tf.identity(self._state.step)), numbers)

    def _check_rows(self, batch: Batch) -> None:
        rows = _num_rows(batch)
        if rows % self._num_parts:
            raise ValueError(
                "a replica's rows must be a multiple of `train.concurrent_parts` x `train.gradient_accumulation_steps`"
                f". Received: {rows} rows, {self._parts} x {self._train.gradient_accumulation_steps}"
            )

    def _gradients_and_sums(self, batch: Batch, weights: dict[str, Tensor], seeds: Tensor) -> tuple[Gradients, Sums]:
        """Return the gradients, losses and metrics of some rows of a batch, whose loss weights are `weights`."""
        state, objective = self._state, self._objective
        copies = {} if self._fusion is None else self._fusion.copy(self._variables, state.model.compute_dtype)
        with using_fusion_compiler(self._fusion), recomputing(self._recomputes):
            with tf.GradientTape() as tape:
                tape.watch(copies)
                outputs, rows = self._gathering.rows(state.model(batch, training=True, seed=seeds), batch)
                sums = objective.losses(outputs, rows)
                loss = tf.add_n([total / tf.maximum(weights[name], 1e-6) for name, (total, _) in sums.items()])
                if state.loss_scale is not None:
                    loss = loss * state.loss_scale.scale
            found, of_copies = tape.gradient(loss, ([variable.value for variable in self._variables], copies))
            sums = sums | objective.metrics(outputs, rows)
        sums = self._gathering.counted_once(sums) | objective.batch_metrics(batch)
        gradients = [
            _dense_gradient(variable, gradient, of_copies.get(index))
            for index, (variable, gradient) in enumerate(zip(self._variables, found, strict=True))
        ]
        if self._num_parts > 1:  # sums of gradients need the precision of float32
            gradients = [tf.cast(gradient, tf.float32) for gradient in gradients]
        return gradients, sums

    def _reduced(self, gradients: Gradients, sums: Sums) -> tuple[Gradients, Sums]:
        """Return gradients and sums over all replicas, in one reduction for both."""
        reduced = self._distribution.all_reduce(gradients + tf.nest.flatten(sums))
        return reduced[: len(gradients)], tf.nest.pack_sequence_as(sums, reduced[len(gradients) :])

    def _apply(self, gradients: Gradients, sums: Sums, squares: list[tf.Tensor] | None = None) -> Sums:
        """Clip the gradients, update the weights and count the step. Return the norm and `NONFINITE_GRADIENT`."""
        state, train, optimizer, names = self._state, self._train, self._optimizer, self._names
        step = tf.identity(state.step)
        squares = optimization.squared_norms(gradients) if squares is None else squares
        norm, finite = self._norm_and_finite(squares, sums)
        factor = optimization.clip_factor(norm, optimizer.clip_norm)
        if state.loss_scale is not None:
            factor = factor / state.loss_scale.scale
        rate = optimization.learning_rate_at(step, train, optimizer)
        layer_factors = optimization.layer_factors(names, optimizer.layer_decay)

        def update(index: int, group: tuple[tf.Variable, ...], gradient: tf.Tensor) -> None:
            old = [tf.convert_to_tensor(variable) for variable in group]
            gradient = tf.cast(gradient, tf.float32) * factor
            new = optimization.update(
                old[0],
                gradient,
                old[1],
                old[2],
                step=step,
                learning_rate=rate * layer_factors[index],
                decayed=optimization.is_decayed(names[index]),
                config=optimizer,
                matrices=optimization.matrices_in(names[index]),
            )
            for variable, before, after in zip(group, old, new, strict=True):
                variable.assign(after if finite is None else tf.where(finite, after, before))

        groups = [(state.weights[name].value, *state.moments[name]) for name in names]
        self._distribution.update(groups, gradients, update)
        self._advance(finite)
        if state.loss_scale is None:
            bad = tf.cast(~tf.math.is_finite(tf.stack(squares)), tf.float32)
            number = tf.reduce_max(bad) * tf.cast(tf.argmax(bad) + 1, tf.float32)
            return {"gradient_norm": (norm, tf.ones(())), NONFINITE_GRADIENT: (number, tf.ones(()))}
        # A step in which the loss scale caused an overflow is skipped, and counts in no metric.
        return {"gradient_norm": (tf.where(finite, norm, 0.0), tf.cast(finite, tf.float32))}

    def _norm_and_finite(self, squares: list[tf.Tensor], sums: Sums) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Return the gradient's norm, and whether the update is made, which is None if every update is."""
        norm = optimization.root_of_sum(squares)
        if self._state.loss_scale is not None:
            norm = norm / self._state.loss_scale.scale
            return norm, tf.math.is_finite(norm)
        if self._train.skip_nonfinite:
            totals = tf.stack([norm, *(total for total, _ in sums.values())])
            return norm, tf.reduce_all(tf.math.is_finite(totals))
        return norm, None

    def _advance(self, finite: tf.Tensor | None) -> None:
        """Count the step, and adapt the loss scale of float16."""
        state = self._state
        counters: list[tuple[tf.Variable, ...]] = [(state.step,)]
        values: list[Any] = [tf.identity(state.step) + 1]
        if state.loss_scale is not None:
            counters += [(variable,) for variable in state.loss_scale.variables().values()]
            values += state.loss_scale.next_values(finite)
        self._distribution.update(counters, values, lambda _, group, value: group[0].assign(value))


def _xla_scope(train: TrainConfig, distribution: Distribution) -> str:
    """Return the unit that XLA compiles, `step`, `fused` or `nothing` (`TrainConfig.xla_scope`)."""
    if not train.jit_compile or distribution.strategy is not None:
        return "nothing"
    if train.xla_scope != "auto":
        return train.xla_scope
    return "fused" if _on_cpu() and train.precision == "bfloat16" else "step"


def _num_rows(batch: Batch) -> int:
    return next(iter(batch.values())).shape[0]


def _on_cpu() -> bool:
    return not any(tf.config.list_logical_devices(kind) for kind in ("GPU", "TPU"))


def _dense_gradient(
    variable: tf.Variable, gradient: tf.Tensor | tf.IndexedSlices | None, of_copy: tf.Tensor | None
) -> tf.Tensor:
    """Return the dense sum of a variable's gradient and that of its low-precision copy.

    The sum has the copy's dtype if only the copy has a gradient. It is dense because Adam's moments are wrong for
    sparse gradients with repeated rows, as embeddings have.
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
    """Return `optimization.squared_norms` by TensorFlow's kernel, which uses a CPU's vector units, unlike XLA."""
    return [2.0 * tf.nn.l2_loss(tf.cast(tensor, tf.float32)) for tensor in tensors]
