"""Random bits as a pure function of a seed, without generator state, equal on every backend and device.

The generator counts: element i of a tensor is `mix(i * odd + seed)`, where `mix` is a 32-bit finalizer with low bias
(Wellons 2018, "Prospecting for Hash Functions", `lowbias32`). It uses integer arithmetic only, so that XLA fuses it
into its consumer, and TPU, GPU and CPU agree. It is good enough for dropout, and unfit for cryptography.
"""

from keras import ops

from bert_tf.features import Tensor

_GOLDEN = 0x9E3779B9  # 2**32 / golden ratio, odd: neighbouring counters land far apart


def _mix(bits: Tensor) -> Tensor:
    bits = ops.bitwise_xor(bits, ops.right_shift(bits, _constant(16)))
    bits = ops.multiply(bits, _constant(0x7FEB352D))
    bits = ops.bitwise_xor(bits, ops.right_shift(bits, _constant(15)))
    bits = ops.multiply(bits, _constant(0x846CA68B))
    return ops.bitwise_xor(bits, ops.right_shift(bits, _constant(16)))


def _constant(value: int) -> Tensor:
    return ops.convert_to_tensor(value, dtype="uint32")


def fold_in(seed: Tensor, number: Tensor) -> Tensor:
    """Return a new seed from `seed` and `number`. Distinct numbers (layers, steps, replicas) give unrelated seeds.

    Args:
        seed: integer scalar, tensor or Python number.
        number: integer scalar, tensor or Python number, not negative.

    Returns:
        uint32 scalar.
    """
    counter = ops.multiply(ops.cast(number, "uint32"), _constant(_GOLDEN))
    return _mix(ops.bitwise_xor(_mix(ops.add(counter, _constant(1))), ops.cast(seed, "uint32")))


def random_bits(shape: tuple[int | Tensor, ...], seed: Tensor) -> Tensor:
    """Return a uint32 tensor of `shape`, uniform over all values; a pure function of (shape, seed).

    Args:
        shape: sizes of the axes; a size that is not static is a tensor.
        seed: uint32 scalar, such as a result of `fold_in`.
    """
    size = 1
    for length in shape:
        size = size * length
    counters = ops.multiply(ops.cast(ops.arange(size, dtype="int32"), "uint32"), _constant(_GOLDEN))
    return ops.reshape(_mix(ops.add(counters, ops.cast(seed, "uint32"))), shape)
