"""The compilation of each fused operation of the layers by XLA, which makes a CPU fast in bfloat16.

`bert_tf.fusion` explains fused operations. TensorFlow's own kernels compute the products between them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from bert_tf.layers.base import column_sums
from bert_tf.layers.embeddings import sums_by_id


def _column_sums(x: tf.Tensor) -> tf.Tensor:
    """Return the sums as a product with ones, which adds in float32 and returns x's dtype."""
    return tf.cast(tf.matmul(tf.ones_like(x[:, :1]), x, transpose_a=True)[0], tf.float32)


def _sums_by_id(rows: tf.Tensor, ids: tf.Tensor, count: int) -> tf.Tensor:
    return tf.math.unsorted_segment_sum(rows, ids, count)


KERNELS: dict[Callable[..., Any], Callable[..., Any]] = {column_sums: _column_sums, sums_by_id: _sums_by_id}
"""The fused operations that TensorFlow's own kernels compute faster than XLA on a CPU."""


class XlaFusion:
    """A `bert_tf.fusion.FusionCompiler` that makes two XLA programs of each fused operation, forward and backward.

    The backward program computes the fused operation again from its inputs, so that its intermediate results
    (activations in float32, dropout masks) are never written to memory. Layers with equal functions and constants share
    their programs.
    """

    def __init__(self) -> None:
        self._programs: dict[Any, tuple[Callable[..., Any], Callable[..., Any]]] = {}
        self._copies: dict[int, tf.Tensor] = {}  # the key is the id of the variable
        self._last: tuple[Any, list[tf.Tensor]] = (None, [])  # a graph, and the outputs of its last program

    def fused(self, function: Callable[..., Any], *tensors: Any, **constants: Any) -> Any:
        """Return `function(*tensors, **constants)`, with its gradient."""
        if function in KERNELS:
            return KERNELS[function](*tensors, **constants)
        forward, backward = self._compiled(function, constants)

        @tf.custom_gradient
        def run(*tensors: tf.Tensor) -> tuple[Any, Callable[..., list[Any]]]:
            def gradient(*upstream: tf.Tensor) -> list[Any]:
                found = iter(self._in_turn(backward, tensors, upstream))
                return [next(found) if tensor.dtype.is_floating else None for tensor in tensors]

            return self._in_turn(forward, *tensors), gradient

        return run(*(tf.convert_to_tensor(tensor) for tensor in tensors))

    def copy(self, variables: Sequence[Any], dtype: str) -> dict[int, tf.Tensor]:
        """Return a copy of each matrix in `dtype`, if that is narrower, for `weight_in` and for the gradient tape.

        Returns:
            The copies by the index of their variable.
        """
        if tf.as_dtype(dtype).size >= 4:
            return {}
        copies = {place: tf.cast(each.value, dtype) for place, each in enumerate(variables) if len(each.shape) > 1}
        self._copies = {id(variables[place]): copy for place, copy in copies.items()}
        return copies

    def weight_in(self, variable: Any, dtype: str) -> tf.Tensor:
        """Return the variable's copy if it has one, else its value, cast to `dtype`."""
        copy = self._copies.get(id(variable))
        return tf.cast(variable.value, dtype) if copy is None or copy.dtype != dtype else copy

    def _in_turn(self, program: Callable[..., Any], *arguments: Any) -> Any:
        """Return `program(*arguments)`, which runs after the programs that were called before it in this graph.

        So the threads that run a graph neither compile two programs at the same time nor one while another one runs.
        """
        if tf.executing_eagerly():
            return program(*arguments)
        graph = tf.compat.v1.get_default_graph()
        with tf.control_dependencies(self._last[1] if self._last[0] is graph else []):
            outputs = program(*arguments)
        self._last = (graph, tf.nest.flatten(outputs))
        return outputs

    def _compiled(self, function: Callable[..., Any], constants: dict[str, Any]) -> tuple[Any, Any]:
        key = (function, tuple(sorted(constants.items())))
        if key not in self._programs:
            whole = partial(function, **constants)
            self._programs[key] = (in_one_program(whole), in_one_program(partial(_gradients, whole)))
        return self._programs[key]


def in_one_program(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function`, a function of tensors, compiled by XLA."""
    return tf.function(function, jit_compile=True, autograph=False)


def _gradients(
    function: Callable[..., Any], tensors: tuple[tf.Tensor, ...], upstream: tuple[tf.Tensor, ...]
) -> list[tf.Tensor]:
    """Return the gradients of `function(*tensors)` for the float tensors, given the gradients of its outputs."""
    floats = [tensor for tensor in tensors if tensor.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(floats)
        outputs = tf.nest.flatten(function(*tensors))
    return tape.gradient(outputs, floats, output_gradients=list(upstream), unconnected_gradients="zero")
