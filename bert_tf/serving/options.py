"""What an export may be asked to be, and the model's part of its graph that follows from that."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

Tensors = dict[str, tf.Tensor]

PRECISIONS = ("float32", "bfloat16")

QUANTIZATIONS = ("float32", "int8")
"""Of LiteRT's files; `int8`: dynamic range, weights in 8 bits, activations quantized as they come."""


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """How a model is exported.

    Attributes:
        precision: of weights and products: `float32`, or `bfloat16`, half the size, and faster on processors with
            bfloat16 units; sums, norms and softmax stay in float32.
        jit_compile: whether XLA compiles the model. It does so for each shape when it is first asked for; to keep them
            few, rows are made up to a power of two.
        fixed_batch_size: rows that the model computes at a time, whatever was asked for, all of the full length: one
            shape, as TPUs want it. XLA compiles the model. None: as many as were asked for.
        top_k: tokens that a masked-LM export answers for each `[MASK]`.
        litert: files for LiteRT to write beside the SavedModel: `float32`, and `int8`, with weights in 8 bits
            (`QUANTIZATIONS`).
        litert_lengths: of each of them, further files that take one row of just so many tokens: the quickest for one
            text, and what processors that want fixed shapes can take.
    """

    precision: str = "float32"
    jit_compile: bool = False
    fixed_batch_size: int | None = None
    top_k: int = 5
    litert: tuple[str, ...] = ()
    litert_lengths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"--precision must be {' or '.join(PRECISIONS)}. Received: {self.precision!r}")
        if self.fixed_batch_size is not None and self.fixed_batch_size < 1:
            raise ValueError(f"--fixed_batch_size must be at least 1. Received: {self.fixed_batch_size}")
        if self.top_k < 1:
            raise ValueError(f"--top_k must be at least 1. Received: {self.top_k}")
        for quantization in self.litert:
            if quantization not in QUANTIZATIONS:
                raise ValueError(f"--litert takes {', '.join(QUANTIZATIONS)}. Received: {quantization!r}")
        if self.litert_lengths and not self.litert:
            raise ValueError(f"--litert_lengths needs --litert. Received: {_listed(self.litert_lengths)} without it")
        if any(length < 3 for length in self.litert_lengths):  # [CLS], a token and [SEP]
            raise ValueError(f"--litert_lengths must be at least 3. Received: {_listed(self.litert_lengths)}")


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def shaped(
    call: Callable[[Tensors], Any], names: Sequence[str], options: ExportOptions, max_seq_length: int
) -> Callable[[Tensors], Any]:
    """`call` as a graph function of rows, in the shapes that the options want.

    Args:
        call: the model, from int32 [rows, L] tensors by name to tensors, or a dictionary of them, whose first axis is
            that of the rows.
        names: of its inputs.
        options: of the export.
        max_seq_length: L of a fixed shape.
    """
    rows = options.fixed_batch_size
    length = max_seq_length if rows else None
    # Positions to predict at are as many as there are masks; their places are no part of the fixed length.
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
    """The inputs with rows of padding behind their own."""
    missing = rows - tf.shape(inputs["input_ids"])[0]
    return {name: tf.pad(tensor, [[0, missing], [0, 0]]) for name, tensor in inputs.items()}
