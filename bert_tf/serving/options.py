"""The options of an export."""

import dataclasses
from collections.abc import Sequence

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
            raise ValueError(f"`precision` must be {' or '.join(PRECISIONS)}. Received: {self.precision!r}")
        if self.fixed_batch_size is not None and self.fixed_batch_size < 1:
            raise ValueError(f"`fixed_batch_size` must be at least 1. Received: {self.fixed_batch_size}")
        if self.top_k < 1:
            raise ValueError(f"`top_k` must be at least 1. Received: {self.top_k}")
        for quantization in self.litert:
            if quantization not in QUANTIZATIONS:
                raise ValueError(f"`litert` takes {', '.join(QUANTIZATIONS)}. Received: {quantization!r}")
        if self.litert_lengths and not self.litert:
            raise ValueError(f"`litert_lengths` needs `litert`. Received: {_listed(self.litert_lengths)} without it")
        if any(length < 3 for length in self.litert_lengths):  # [CLS], a token and [SEP]
            raise ValueError(f"`litert_lengths` must be at least 3. Received: {_listed(self.litert_lengths)}")


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))
