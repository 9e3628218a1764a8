"""Fused operations: the element-wise parts of the layers, as pure functions between the matrix products.

Where XLA compiles the whole step (TPU, GPU), it finds such operations by itself, and `fused` only calls the function.
On a CPU, matrix products are fastest outside XLA (oneDNN has kernels for bfloat16, XLA has none there). An engine then
passes a compiler to `using_fusion_compiler`, and each fused operation becomes one program, which reads its inputs once
and writes its outputs once. The layers compute the same either way.

`recomputed` keeps the float32 results of fused operations from being stored for the backward pass.
"""

import contextlib
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from typing import Protocol, TypeVar

import keras
from keras import ops

from bert_tf.features import Tensor

Outputs = TypeVar("Outputs")


class FusionCompiler(Protocol):
    """An alternative implementation of `fused` and `weight_in`."""

    def fused(self, function: Callable[..., Outputs], *tensors: Tensor, **constants: Hashable) -> Outputs:
        """Return `function(*tensors, **constants)`."""
        ...

    def weight_in(self, variable: Tensor, dtype: str) -> Tensor:
        """Return the variable's value as a tensor of `dtype`."""
        ...


_compiler: ContextVar[FusionCompiler | None] = ContextVar("compiler of fused operations", default=None)
_recomputes: ContextVar[bool] = ContextVar("element-wise results are recomputed", default=False)
_direct: ContextVar[bool] = ContextVar("weights are read directly", default=False)


@contextlib.contextmanager
def using_fusion_compiler(compiler: FusionCompiler | None) -> Iterator[None]:
    """Let `compiler` implement `fused` and `weight_in` within this context.

    Args:
        compiler: None restores the plain implementation, which calls the functions.
    """
    token = _compiler.set(compiler)
    try:
        yield
    finally:
        _compiler.reset(token)


@contextlib.contextmanager
def weights_read_directly() -> Iterator[None]:
    """Let `weight_in` read variables themselves within this context, and not a compiler's copies of them.

    A block that is recomputed in the backward pass finds gradients only of the variables that it reads itself.
    """
    token = _direct.set(True)
    try:
        yield
    finally:
        _direct.reset(token)


@contextlib.contextmanager
def recomputing(enabled: bool) -> Iterator[None]:
    """Set whether the backward pass of `recomputed` functions computes their intermediate results again.

    An engine enables it where XLA compiles the whole step for a TPU or a GPU. Their memory is small, and the
    recomputed operations are fused into those of the backward pass. On a CPU, it would take time.
    """
    token = _recomputes.set(enabled)
    try:
        yield
    finally:
        _recomputes.reset(token)


def recomputed(function: Callable[..., Outputs], *tensors: Tensor) -> Outputs:
    """Return `function(*tensors)`; within `recomputing`, only `tensors` are kept for the backward pass.

    Layers use it where the tensors are in the compute dtype and the intermediate results are not, or can be computed
    again without a matrix product. XLA by itself would keep the float32 tensors that the forward pass has written.

    Args:
        function: a function of tensors that reads no variables. A matrix product may be its last operation: products
            whose results are not needed are not computed again.
        *tensors: float tensors.
    """
    # A block that is recomputed as a whole keeps none of these tensors for long.
    if _direct.get() or not _recomputes.get():
        return function(*tensors)
    return keras.remat(function)(*tensors)


def fused(function: Callable[..., Outputs], *tensors: Tensor, **constants: Hashable) -> Outputs:
    """Return `function(*tensors, **constants)`, computed by the compiler of the context, if there is one.

    Args:
        function: a module-level function, made of `keras.ops`, that depends on its arguments alone.
        *tensors: tensors; None where the function accepts it.
        **constants: hashable values other than tensors.
    """
    compiler = _compiler.get()
    return function(*tensors, **constants) if compiler is None else compiler.fused(function, *tensors, **constants)


def weight_in(variable: Tensor, dtype: str) -> Tensor:
    """Return a weight's value in the dtype of a matrix product.

    Args:
        variable: float32.
        dtype: dtype of the result.
    """
    compiler = _compiler.get()
    if compiler is None or _direct.get():
        return ops.cast(variable, dtype)
    return compiler.weight_in(variable, dtype)
