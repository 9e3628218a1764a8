"""Random bits as a function of a seed: no generator state, the same on every backend and device.

A counter-based generator: element i of a tensor gets `mix(i * odd + seed)`, where `mix` is a 32-bit finalizer with
low bias (Wellons 2018, "Prospecting for Hash Functions", `lowbias32`). It is integer arithmetic only, so XLA
fuses it into whatever consumes the bits, and TPU, GPU and CPU agree. Good enough for dropout; not for cryptography.
"""

from typing import Any

from keras import ops

_GOLDEN = 0x9E3779B9  # 2**32 / golden ratio, odd: neighbouring counters land far apart


def _mix(bits: Any) -> Any:
    bits = ops.bitwise_xor(bits, ops.right_shift(bits, _constant(16)))
    bits = ops.multiply(bits, _constant(0x7FEB352D))
    bits = ops.bitwise_xor(bits, ops.right_shift(bits, _constant(15)))
    bits = ops.multiply(bits, _constant(0x846CA68B))
    return ops.bitwise_xor(bits, ops.right_shift(bits, _constant(16)))


def _constant(value: int) -> Any:
    return ops.convert_to_tensor(value, dtype="uint32")


def fold_in(seed: Any, number: Any) -> Any:
    """A new seed from `seed` and `number`: distinct numbers (layers, steps, replicas) give unrelated seeds.

    Args:
        seed: integer scalar, tensor or Python number.
        number: integer scalar, tensor or Python number, not negative.

    Returns:
        uint32 scalar.
    """
    counter = ops.multiply(ops.cast(number, "uint32"), _constant(_GOLDEN))
    return _mix(ops.bitwise_xor(_mix(ops.add(counter, _constant(1))), ops.cast(seed, "uint32")))


def random_bits(shape: tuple[Any, ...], seed: Any) -> Any:
    """uint32 tensor of `shape`, uniform over all values; a pure function of (shape, seed).

    Args:
        shape: sizes; some may be tensors where they are not static.
        seed: uint32 scalar, as `fold_in` gives it.
    """
    size = 1
    for length in shape:
        size = size * length
    counters = ops.multiply(ops.cast(ops.arange(size, dtype="int32"), "uint32"), _constant(_GOLDEN))
    return ops.reshape(_mix(ops.add(counters, ops.cast(seed, "uint32"))), shape)
