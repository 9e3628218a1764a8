"""The precision that each kind of device multiplies natively, for `train.precision = auto`."""

from collections.abc import Collection
from typing import NamedTuple

from bert_tf.utils import files

_CPU_INFO = "/proc/cpuinfo"
_BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16")


class NativePrecision(NamedTuple):
    """The precision to compute in, and why.

    Attributes:
        precision: one of `configs.training.DTYPE_POLICIES`.
        reason: a sentence without its full stop, for the log.
    """

    precision: str
    reason: str


TPU = NativePrecision("bfloat16", "a TPU multiplies bfloat16")


def of_gpu(compute_capability: tuple[int, int] | None) -> NativePrecision:
    """Return the precision of an NVIDIA GPU.

    Args:
        compute_capability: the GPU's version, such as (8, 0) for an A100
            (https://docs.nvidia.com/cuda/cuda-c-programming-guide, "Compute Capabilities"); None if it is unknown.
    """
    if compute_capability is None:
        return NativePrecision("float32", "the GPU does not report a compute capability")
    version = f"the GPU has compute capability {compute_capability[0]}.{compute_capability[1]}"
    if compute_capability >= (8, 0):
        return NativePrecision("bfloat16", version)
    if compute_capability >= (7, 0):
        return NativePrecision("float16", f"{version}, whose tensor cores multiply float16, but not bfloat16")
    return NativePrecision("float32", f"{version} and no tensor cores")


def of_cpu(flags: Collection[str]) -> NativePrecision:
    """Return the precision of an x86-64 CPU whose matrix products oneDNN computes, as TensorFlow's are.

    Args:
        flags: the names of the processor's features, as `cpu_flags` returns them.
    """
    found = [flag for flag in _BFLOAT16_FLAGS if flag in flags]
    if found:
        return NativePrecision("bfloat16", f"the CPU has {found[0]}")
    return NativePrecision("float32", f"the CPU has neither {' nor '.join(_BFLOAT16_FLAGS)}")


def cpu_flags() -> frozenset[str]:
    """Return the names of the processor's features; none where the system does not list them."""
    if not files.exists(_CPU_INFO):
        return frozenset()
    lines = (line.partition(":") for line in files.read_text(_CPU_INFO).splitlines())
    return frozenset(next((value.split() for name, _, value in lines if name.strip() == "flags"), ()))
