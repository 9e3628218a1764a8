"""Fused operations: parts of the layers that only move and combine elements, as pure functions between the matrix products.

Where XLA compiles the whole step (TPU, GPU), it finds such fused operations by itself, and `fused` only calls the function. A
CPU's matrix products are fastest outside XLA (oneDNN has kernels for bfloat16, XLA has none there): then whoever runs
the model passes a compiler to `fusion_compiled_by`, and each fused operation becomes a program of its own, which reads its
inputs once and writes its outputs once. What a layer computes is the same either way.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Protocol

from keras import ops


class Compiler(Protocol):
    """By other means: what `fused` and `weight_in` return."""

    def fused(self, function: Callable[..., Any], *tensors: Any, **constants: Any) -> Any:
        """`function(*tensors, **constants)`."""
        ...

    def weight_in(self, variable: Any, dtype: str) -> Any:
        """The variable's value as a tensor of `dtype`."""
        ...


_compiler: ContextVar[Compiler | None] = ContextVar("compiler of fused operations", default=None)
_direct: ContextVar[bool] = ContextVar("weights are read directly", default=False)


@contextlib.contextmanager
def fusion_compiled_by(compiler: Compiler | None) -> Iterator[None]:
    """Within it, `fused` leaves its work to `compiler`; None: it calls the functions."""
    token = _compiler.set(compiler)
    try:
        yield
    finally:
        _compiler.reset(token)


@contextlib.contextmanager
def weights_read_directly() -> Iterator[None]:
    """Within it, `weight_in` casts the variable itself: a block that is computed again knows the variables it reads."""
    token = _direct.set(True)
    try:
        yield
    finally:
        _direct.reset(token)


def fused(function: Callable[..., Any], *tensors: Any, **constants: Any) -> Any:
    """`function(*tensors, **constants)`.

    Args:
        function: defined at the top of a module; of `keras.ops`, and a function of its arguments alone.
        tensors: tensors; None where the function takes that.
        constants: hashable values that are no tensors.
    """
    compiler = _compiler.get()
    return function(*tensors, **constants) if compiler is None else compiler.fused(function, *tensors, **constants)


def weight_in(variable: Any, dtype: str) -> Any:
    """A weight's value as a matrix product takes it.

    Args:
        variable: float32.
        dtype: of the result.
    """
    compiler = _compiler.get()
    if compiler is None or _direct.get():
        return ops.cast(variable, dtype)
    return compiler.weight_in(variable, dtype)
