"""A batch in parts: one after another to save memory (accumulation), or at the same time to use a CPU's cores."""

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

from bert_tf.features import Batch, Tensor

_Sums = TypeVar("_Sums")

GradientsOf = Callable[[Batch, dict[str, Tensor], Tensor], _Sums]
"""(rows, weights of the whole batch, seeds of the rows) -> a structure of tensors that are sums over these rows."""


def concurrently(function: GradientsOf[_Sums], parts: int) -> GradientsOf[_Sums]:
    """Return `function` computed on `parts` equal runs of the rows at the same time, and summed.

    Args:
        function: sums over rows.
        parts: the number of runs; 1 returns `function` itself.
    """
    if parts == 1:
        return function

    def in_parts(batch: Batch, weights: dict[str, Tensor], seeds: Tensor) -> _Sums:
        split = {name: tf.split(tensor, parts) for name, tensor in batch.items()}
        results = [
            function({name: rows[number] for name, rows in split.items()}, weights, own_seeds)
            for number, own_seeds in enumerate(tf.split(seeds, parts))
        ]
        return tf.nest.map_structure(lambda *values: tf.add_n(values), *results)

    return in_parts


def accumulated(function: GradientsOf[_Sums], count: int) -> GradientsOf[_Sums]:
    """Return `function` computed on `count` equal runs of the rows, one after another, and summed.

    Args:
        function: sums over rows.
        count: the number of runs; 1 returns `function` itself.
    """
    if count == 1:
        return function

    def in_parts(batch: Batch, weights: dict[str, Tensor], seeds: Tensor) -> _Sums:
        parts = {name: _in_runs(tensor, count) for name, tensor in batch.items()}
        seeds_of_parts = _in_runs(seeds, count)

        @tf.function
        def of_part(number: tf.Tensor) -> _Sums:
            rows = {name: tensor[number] for name, tensor in parts.items()}
            return function(rows, weights, seeds_of_parts[number])

        # A loop must know the shapes of its sums before it starts: the trace of its body has them.
        number = tf.constant(0)
        outputs = of_part.get_concrete_function(number).structured_outputs
        zeros = tf.nest.map_structure(lambda output: tf.zeros(output.shape, output.dtype), outputs)

        def add(number: tf.Tensor, total: _Sums) -> tuple[tf.Tensor, _Sums]:
            return number + 1, tf.nest.map_structure(tf.add, total, of_part(number))

        return tf.while_loop(lambda number, _: number < count, add, (number, zeros), maximum_iterations=count)[1]

    return in_parts


def _in_runs(tensor: Tensor, count: int) -> Tensor:
    """Return the rows in `count` equal runs, [count, B / count, ...]. Batches of fine-tuning have a dynamic length."""
    sizes = [tf.shape(tensor)[axis] if size is None else size for axis, size in enumerate(tensor.shape)]
    return tf.reshape(tensor, [count, sizes[0] // count, *sizes[1:]])
