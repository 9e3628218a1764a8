"""The options of an export."""

import dataclasses
from collections.abc import Sequence

PRECISIONS = ("float32", "bfloat16")

QUANTIZATIONS = ("float32", "int8")
"""Formats of LiteRT's files. `int8` is dynamic-range quantization: 8-bit weights, activations quantized on the fly."""

GENERATION_OPTIONS = (
    *("max_length", "beams", "length_penalty", "no_repeat_ngram", "temperature", "top_k", "top_p", "num_return"),
)
"""The options of `Predictor.generate` that an export fixes: all but `seed`."""


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """The options of an export.

    Attributes:
        precision: dtype of weights and products, `float32` or `bfloat16`. The latter has half the size and is faster on
            processors with bfloat16 units. Sums, norms and softmax stay in float32.
        jit_compile: whether XLA compiles the model. It compiles at the first request of each shape. The number of rows
            is padded to a power of two, so that there are few shapes.
        fixed_batch_size: number of rows, all of the full length, that the model computes at a time, whatever number was
            requested. This gives one shape, as TPUs need it, which XLA compiles. None for the number requested.
        top_k: number of tokens that a masked-LM export returns for each `[MASK]`, None for 5; or of the likeliest
            tokens from which a model for sequence to sequence draws (`Predictor.generate`).
        litert: formats of the LiteRT files to write beside the SavedModel, some of `QUANTIZATIONS`.
        litert_lengths: row lengths for which further LiteRT files are written, each for one row of that many tokens.
            They are the fastest for a single text, and suit processors that need fixed shapes.
        onnx: whether an ONNX file is written beside the SavedModel, in float32 whatever `precision` says.
        max_length: an option of `Predictor.generate`, by which a model for sequence to sequence generates texts, as all
            that follow; None for its default.
        beams: see there.
        length_penalty: see there.
        no_repeat_ngram: see there.
        temperature: see there.
        top_p: see there.
        num_return: see there.
    """

    precision: str = "float32"
    jit_compile: bool = False
    fixed_batch_size: int | None = None
    top_k: int | None = None
    litert: tuple[str, ...] = ()
    litert_lengths: tuple[int, ...] = ()
    onnx: bool = False
    max_length: int | None = None
    beams: int | None = None
    length_penalty: float | None = None
    no_repeat_ngram: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    num_return: int | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"`precision` must be {' or '.join(PRECISIONS)}. Received: {self.precision!r}")
        if self.fixed_batch_size is not None and self.fixed_batch_size < 1:
            raise ValueError(f"`fixed_batch_size` must be at least 1. Received: {self.fixed_batch_size}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"`top_k` must be at least 1. Received: {self.top_k}")
        for quantization in self.litert:
            if quantization not in QUANTIZATIONS:
                raise ValueError(f"`litert` takes {', '.join(QUANTIZATIONS)}. Received: {quantization!r}")
        if self.litert_lengths and not self.litert:
            raise ValueError(f"`litert_lengths` needs `litert`. Received: {_listed(self.litert_lengths)} without it")
        if any(length < 3 for length in self.litert_lengths):  # [CLS], a token and [SEP]
            raise ValueError(f"`litert_lengths` must be at least 3. Received: {_listed(self.litert_lengths)}")

    def of_generation(self) -> dict[str, int | float]:
        """Return the options of generation that are given, by name."""
        values = {name: getattr(self, name) for name in GENERATION_OPTIONS}
        return {name: value for name, value in values.items() if value is not None}


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))
