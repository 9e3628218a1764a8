"""Random bits as a pure function of a seed, without generator state, equal on every backend and device.

Every row of a batch has a seed of its own, made from (run, step, number of the row in the global batch, layer). The
generator counts within the row. So a row draws the same bits on any number of devices, and in any part of the batch
that is computed by itself.

Element i of a row is a mix of i and the row's seed by the 32-bit finalizer with low bias of Wellons 2018 ("Prospecting
for Hash Functions", `lowbias32`). The seed enters twice, before the first and before the second multiplication:
otherwise the counters of two rows whose seeds are close would give the same bits, shifted. All arithmetic is that of
integers modulo 2**32, so that XLA fuses it into its consumer, that TPU, GPU and CPU agree, and that nothing overflows.
It is good enough for dropout, and unfit for cryptography.
"""

from collections.abc import Sequence

from keras import ops

from bert_tf.features import Tensor

_GOLDEN = 0x9E3779B9  # 2**32 / golden ratio, odd: neighbouring counters land far apart


def _mix(bits: Tensor, second_key: Tensor | None = None) -> Tensor:
    bits = ops.bitwise_xor(bits, ops.right_shift(bits, _constant(16)))
    bits = ops.multiply(bits, _constant(0x7FEB352D))
    if second_key is not None:
        bits = ops.bitwise_xor(bits, second_key)
    bits = ops.bitwise_xor(bits, ops.right_shift(bits, _constant(15)))
    bits = ops.multiply(bits, _constant(0x846CA68B))
    return ops.bitwise_xor(bits, ops.right_shift(bits, _constant(16)))


def _constant(value: int) -> Tensor:
    return ops.convert_to_tensor(value, dtype="uint32")


def fold_in(seed: Tensor, number: Tensor) -> Tensor:
    """Return a new seed from `seed` and `number`. Distinct numbers (layers, steps, rows) give unrelated seeds.

    Args:
        seed: integers, a tensor or a Python number.
        number: integers, not negative, broadcast with `seed`; a tensor or a Python number.

    Returns:
        uint32 of the common shape.
    """
    counter = ops.multiply(ops.cast(number, "uint32"), _constant(_GOLDEN))
    return _mix(ops.bitwise_xor(_mix(ops.add(counter, _constant(1))), ops.cast(seed, "uint32")))


def row_seeds(seed: Tensor, rows: int | Tensor) -> Tensor:
    """Return one seed for each row of a batch, uint32 [B]. A vector of seeds is returned as it is.

    Args:
        seed: integer scalar, into which the numbers of the rows are folded; or integers [B].
        rows: B.

    Raises:
        ValueError: `seed` holds another number of seeds than there are rows, or has more than one axis.
    """
    seed = ops.cast(seed, "uint32")
    shape = tuple(seed.shape)
    if not shape:
        return fold_in(seed, ops.arange(rows, dtype="int32"))
    if len(shape) > 1 or (isinstance(rows, int) and shape[0] not in (None, rows)):
        raise ValueError(f"`seed` must be a scalar or hold one seed for each of the {rows} rows. Received: {shape}")
    return seed


def random_bits(shape: Sequence[int | Tensor], seeds: Tensor) -> Tensor:
    """Return a uint32 tensor of `shape`, uniform over all values; each row is a pure function of its shape and seed.

    Args:
        shape: sizes of the axes, [B, ...]; a size that is not static is a tensor.
        seeds: uint32 [B], from `row_seeds`.
    """
    row = tuple(shape)[1:]
    # The outer axes come first, so that only the last sum is as large as a row.
    indices = [
        ops.reshape(ops.arange(size, dtype="int32"), (-1,) + (1,) * (len(row) - axis - 1))
        for axis, size in enumerate(row)
    ]
    return bits_at(indices, row, ops.reshape(seeds, (-1,) + (1,) * len(row)))


def bits_at(indices: Sequence[Tensor], row: Sequence[int | Tensor], seeds: Tensor) -> Tensor:
    """Return the bits of some elements of rows, uint32.

    Args:
        indices: for each axis of a row, the indices of the elements, int32. They are broadcast with each other and with
            `seeds`.
        row: sizes of the axes of a row. A row of more than 2**32 elements repeats its bits.
        seeds: uint32, seeds of the rows.
    """
    # Operators, because `ops.add` of TensorFlow's backend takes an operand with one axis for a bias, and may add it to
    # another axis than the last.
    counter = _constant(0)
    for index, size in zip(indices, row, strict=True):
        counter = counter * ops.cast(size, "uint32") + ops.cast(index, "uint32")
    return _mix(counter + seeds, seeds * _constant(_GOLDEN) + _constant(1))
