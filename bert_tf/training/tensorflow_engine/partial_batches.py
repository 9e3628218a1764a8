"""A batch in parts: one after another to save memory (accumulation), or at the same time to use a CPU's cores."""

from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf

from bert_tf.features import Batch, Tensor

_Sums = TypeVar("_Sums")

GradientsOf = Callable[[Batch, dict[str, Tensor], Tensor], _Sums]
"""(rows, weights of the whole batch, seeds of the rows) -> a structure of tensors that are sums over these rows."""


def concurrently(function: GradientsOf[_Sums], parts: int, *, compiled: bool = False) -> GradientsOf[_Sums]:
    """Return `function` computed on `parts` equal runs of the rows at the same time, and summed.

    Args:
        function: sums over rows.
        parts: the number of runs; 1 returns `function` itself.
        compiled: whether `function` runs XLA programs. Then the first batch of each shape has them compiled before its
            parts begin, so that no program is compiled while another one runs or is compiled.
    """
    if parts == 1:
        return function
    if compiled:
        # One trace serves all parts. If calls were inlined, every step would also visit each operation of the branch
        # that compiles.
        function = tf.function(function, autograph=False, experimental_attributes={"_noinline": True})
        known = _KnownShapes()

    def in_parts(batch: Batch, weights: dict[str, Tensor], seeds: Tensor) -> _Sums:
        if compiled:

            def first_part(batch: Batch, weights: dict[str, Tensor], seeds: Tensor) -> _Sums:
                rows = {name: tf.split(tensor, parts)[0] for name, tensor in batch.items()}
                return function(rows, weights, tf.split(seeds, parts)[0])

            batch, weights, seeds = known.after_a_first_call(first_part, batch, weights, seeds)
        split = {name: tf.split(tensor, parts) for name, tensor in batch.items()}
        results = [
            function({name: rows[number] for name, rows in split.items()}, weights, own_seeds)
            for number, own_seeds in enumerate(tf.split(seeds, parts))
        ]
        return tf.nest.map_structure(lambda *values: tf.add_n(values), *results)

    return in_parts


class _KnownShapes:
    """The shapes of batches that a function has been called with."""

    def __init__(self) -> None:
        # TensorFlow leaves out calls whose results nothing takes, so each shape is kept with a number made of them.
        self._table = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, default_value=tf.float32.min)

    def after_a_first_call(
        self, function: GradientsOf[Any], batch: Batch, weights: dict[str, Tensor], seeds: Tensor
    ) -> tuple[Batch, dict[str, Tensor], Tensor]:
        """Return the arguments, after one call of `function` with them if the batch has a new shape.

        Nothing that depends on the returned tensors begins before the call's end.
        """
        arguments = (batch, weights, seeds)
        sizes = tf.concat([tf.shape(tensor) for tensor in batch.values()], axis=0)
        shapes = tf.strings.reduce_join(tf.as_string(sizes), separator=" ")

        def unchanged() -> Any:
            return tf.nest.map_structure(tf.identity, arguments)

        def called() -> Any:
            results = tf.nest.flatten(function(*arguments))
            number = tf.add_n([tf.cast(tf.reshape(result, [-1])[0], tf.float32) for result in results])
            with tf.control_dependencies([self._table.insert(shapes, number)]):
                return unchanged()

        return tf.cond(tf.equal(self._table.lookup(shapes), tf.float32.min), called, unchanged)


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
