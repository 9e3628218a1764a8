"""The model's part of an export's graph, in the shapes that the options require."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from bert_tf.serving.options import ExportOptions

Tensors = dict[str, tf.Tensor]


def shaped(
    call: Callable[[Tensors], Any], names: Sequence[str], options: ExportOptions, *, max_seq_length: int
) -> Callable[[Tensors], Any]:
    """Return `call` as a graph function of rows, in the shapes that the options require.

    Args:
        call: the model, from int32 [rows, L] tensors by name to one tensor, or a dictionary of tensors, with one entry
            for each row on the first axis.
        names: the names of its inputs.
        options: the options of the export.
        max_seq_length: L, the length of a fixed shape.
    """
    rows = options.fixed_batch_size
    length = max_seq_length if rows else None
    # The number of positions to predict is the number of masks, which is never fixed.
    specs = {name: tf.TensorSpec([rows, None if name == "masked_lm_positions" else length], tf.int32) for name in names}
    compiled = bool(options.jit_compile or rows)
    function = tf.function(call, input_signature=[specs], autograph=False, jit_compile=compiled)
    if rows:
        return lambda inputs: _in_batches(function, inputs, rows)
    if options.jit_compile:
        return lambda inputs: _in_a_power_of_two(function, inputs)
    return function


def _in_a_power_of_two(function: Callable[[Tensors], Any], inputs: Tensors) -> Any:
    rows = tf.shape(inputs["input_ids"])[0]
    powers = tf.constant([2**exponent for exponent in range(31)])
    padded = tf.gather(powers, tf.searchsorted(powers, rows[None])[0])
    outputs = function(_with_rows(inputs, padded))
    return tf.nest.map_structure(lambda tensor: tensor[:rows], outputs)


def _in_batches(function: Any, inputs: Tensors, size: int) -> Any:
    rows = tf.shape(inputs["input_ids"])[0]
    batches = tf.maximum((rows + size - 1) // size, 1)
    padded = _with_rows(inputs, batches * size)
    split = {name: tf.reshape(tensor, [-1, size, tf.shape(tensor)[1]]) for name, tensor in padded.items()}
    types = tf.nest.map_structure(lambda tensor: tensor.dtype, function.get_concrete_function().structured_outputs)
    outputs = tf.map_fn(function, split, fn_output_signature=types, parallel_iterations=1)
    shapes = tf.nest.map_structure(lambda tensor: tf.concat([[-1], tf.shape(tensor)[2:]], axis=0), outputs)
    return tf.nest.map_structure(lambda tensor, shape: tf.reshape(tensor, shape)[:rows], outputs, shapes)


def _with_rows(inputs: Tensors, rows: tf.Tensor) -> Tensors:
    """Return the inputs with rows of padding after their own."""
    missing = rows - tf.shape(inputs["input_ids"])[0]
    return {name: tf.pad(tensor, [[0, missing], [0, 0]]) for name, tensor in inputs.items()}
