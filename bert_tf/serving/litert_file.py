"""The check of a `.tflite` file by the sizes in it, before an interpreter takes memory for what it declares.

The file is a flatbuffer whose root is the table `Model`
(https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs). A table starts
with the distance back to its vtable, which lists where the fields are; a field of another table, a vector or a string
holds the distance forward to it (https://flatbuffers.dev/internals/).
"""

import math
import struct
from collections.abc import Iterator

_IDENTIFIER = b"TFL3"  # at bytes 4 to 8

# The numbers of the fields in the schema's tables.
_MODEL_OPERATOR_CODES, _MODEL_SUBGRAPHS, _MODEL_BUFFERS = 1, 2, 4
_SUBGRAPH_TENSORS, _SUBGRAPH_OPERATORS = 0, 3
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_BUFFER = 0, 1, 2
_BUFFER_DATA, _BUFFER_OFFSET, _BUFFER_SIZE = 0, 1, 2
_OPERATOR_CODE, _OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 0, 1, 2

# Bits of one number of each type (`TensorType`). Strings, resources and variants have no fixed size.
_BITS = {0: 32, 1: 16, 2: 32, 3: 8, 4: 64, 6: 8, 7: 16, 8: 64, 9: 8, 10: 64, 11: 128, 12: 64, 15: 32, 16: 16, 17: 4}
_BITS |= {18: 16, 19: 2, 20: 4}

# LiteRT counts the numbers of a tensor in an int32.
_MOST_NUMBERS = 2**31 - 1


def check_litert_file(data: bytes, path: str) -> None:
    """Check that a LiteRT file is whole and declares no more than it holds.

    Args:
        data: the file's bytes.
        path: its path, for the message.

    Raises:
        ValueError: the file is not a LiteRT file, is cut, or has a buffer, a tensor or an operator that reaches beyond
            what is in it.
    """
    if len(data) < 8 or data[4:8] != _IDENTIFIER:
        raise ValueError(f"{path}: not a LiteRT file, or a damaged one (it does not have {_IDENTIFIER!r} at byte 4)")
    try:
        _check_model(_Flatbuffer(data))
    except _Damaged as error:
        raise ValueError(f"{path}: not a LiteRT file, or a damaged one ({error})") from None


class _Damaged(Exception):
    """The contents contradict themselves; the message says how."""


class _Flatbuffer:
    """Reads tables, vectors and numbers of a flatbuffer, none of them outside of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def number(self, kind: str, at: int) -> int:
        """Return the number of a `struct` format at a byte."""
        if at < 0 or at + struct.calcsize(kind) > len(self.data):
            raise _Damaged(f"it refers to byte {at}, and has {len(self.data)}")
        return int(struct.unpack_from(kind, self.data, at)[0])

    def root(self) -> int:
        """Return the start of the root table."""
        return self.number("<I", 0)

    def scalar(self, table: int, field: int, kind: str) -> int:
        """Return a field that holds a number, or 0 if the table has no such field."""
        at = self._field(table, field)
        return self.number(kind, at) if at else 0

    def vector(self, table: int, field: int, item_bytes: int) -> tuple[int, int]:
        """Return the start and the number of items of a vector, or (0, 0) if the table has no such field."""
        at = self._field(table, field)
        if not at:
            return 0, 0
        start = at + self.number("<I", at)
        count = self.number("<I", start)
        if start + 4 + count * item_bytes > len(self.data):
            raise _Damaged(f"it has {len(self.data)} bytes, and a list of {count * item_bytes} bytes at byte {start}")
        return start + 4, count

    def tables(self, table: int, field: int) -> Iterator[int]:
        """Iterate over the starts of the tables in a vector."""
        start, count = self.vector(table, field, 4)
        for at in range(start, start + 4 * count, 4):
            yield at + self.number("<I", at)

    def numbers(self, table: int, field: int) -> tuple[int, ...]:
        """Return a vector of int32."""
        start, count = self.vector(table, field, 4)
        return struct.unpack_from(f"<{count}i", self.data, start)

    def _field(self, table: int, field: int) -> int:
        """Return where a field of a table is, or 0 if the table does not have it."""
        vtable = table - self.number("<i", table)
        at = 4 + 2 * field
        offset = self.number("<H", vtable + at) if at + 2 <= self.number("<H", vtable) else 0
        return table + offset if offset else 0


def _check_model(file: _Flatbuffer) -> None:
    model = file.root()
    buffers = [_buffer_bytes(file, buffer) for buffer in file.tables(model, _MODEL_BUFFERS)]
    codes = file.vector(model, _MODEL_OPERATOR_CODES, 4)[1]
    subgraphs = list(file.tables(model, _MODEL_SUBGRAPHS))
    if not subgraphs:
        raise _Damaged("it has no graph")
    for subgraph in subgraphs:
        tensors = list(file.tables(subgraph, _SUBGRAPH_TENSORS))
        for tensor in tensors:
            _check_tensor(file, tensor, buffers)
        for operator in file.tables(subgraph, _SUBGRAPH_OPERATORS):
            _check_below(file.scalar(operator, _OPERATOR_CODE, "<I"), codes, "kind of operator")
            for field in (_OPERATOR_INPUTS, _OPERATOR_OUTPUTS):
                for index in file.numbers(operator, field):
                    _check_below(index, len(tensors), "tensor", least=-1)  # -1 stands for an input that is left out


def _buffer_bytes(file: _Flatbuffer, buffer: int) -> int:
    """Return the size of a buffer, whose bytes are in the flatbuffer or, in files of over 2 GB, after it."""
    offset, size = (file.scalar(buffer, field, "<Q") for field in (_BUFFER_OFFSET, _BUFFER_SIZE))
    if offset <= 1:  # 0 and 1 say that the bytes are in the flatbuffer
        return file.vector(buffer, _BUFFER_DATA, 1)[1]
    if offset + size > len(file.data):
        raise _Damaged(f"it has {len(file.data)} bytes, and a buffer of {size} bytes at byte {offset}")
    return size


def _check_tensor(file: _Flatbuffer, tensor: int, buffers: list[int]) -> None:
    shape = file.numbers(tensor, _TENSOR_SHAPE)
    index = file.scalar(tensor, _TENSOR_BUFFER, "<I")
    _check_below(index, len(buffers), "buffer")
    if any(size < -1 for size in shape) or math.prod(map(abs, shape)) > _MOST_NUMBERS:
        raise _Damaged(f"a tensor has the shape {list(shape)}")
    bits = _BITS.get(file.scalar(tensor, _TENSOR_TYPE, "<b"))
    # Tensors that are computed refer to a buffer without bytes.
    if bits and buffers[index] and (needed := (math.prod(shape) * bits + 7) // 8) > buffers[index]:
        raise _Damaged(f"a tensor of shape {list(shape)} needs {needed} bytes, and its buffer has {buffers[index]}")


def _check_below(index: int, count: int, what: str, least: int = 0) -> None:
    if not least <= index < count:
        raise _Damaged(f"it refers to {what} {index}, and has {count}")
