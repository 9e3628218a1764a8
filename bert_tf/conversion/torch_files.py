"""The reader of `pytorch_model.bin`, which needs no PyTorch and runs no code from the file.

PyTorch writes a pickle whose tensors refer to storages, inside a zip archive since version 1.6 and as one stream before
(`torch/serialization.py`). A pickle names functions that its reader calls, and can so run any code. This reader allows
only the few functions that make tensors, and replaces each by one that describes the tensor for NumPy. A file that
declares more than it holds is refused by its sizes, before any memory is taken for it.
"""

import collections
import dataclasses
import io
import math
import pickle
import pickletools
import struct
import zipfile
from typing import IO, Any

import ml_dtypes
import numpy as np

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

_STORAGE_DTYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


@dataclasses.dataclass(frozen=True)
class _Storage:
    """A contiguous range of numbers in the file."""

    key: str
    dtype: np.dtype
    size: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A view of a storage. `offset` and `strides` count numbers, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, data: np.ndarray) -> np.ndarray:
        """Return the tensor as a view of the numbers of its storage."""
        numbers = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or any(number < 0 for number in numbers):
            raise ValueError("a tensor has a negative size or stride")
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        count = math.prod(self.shape)
        if count and last >= len(data):
            raise ValueError("a tensor reaches beyond its storage")
        if count > len(data):  # as with strides of 0
            raise ValueError(f"a tensor has {count} numbers, and its storage {len(data)}")
        strides = [stride * data.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(data[self.offset :], self.shape, strides, writeable=False)


def _rebuild_tensor(storage: Any, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor: _Tensor, *_: Any) -> _Tensor:
    return tensor


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
} | {("torch", name): np.dtype(dtype) for name, dtype in _STORAGE_DTYPES.items()}


class _Unpickler(pickle.Unpickler):
    """An unpickler that resolves storages and the names in `_ALLOWED`, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no part of a file of weights") from None

    def persistent_load(self, identity: Any) -> _Storage:
        if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
            raise pickle.UnpicklingError("it refers to something that is not a storage")
        _, dtype, key, _, size, *view = identity
        if not isinstance(dtype, np.dtype) or any(part is not None for part in view):
            raise pickle.UnpicklingError("it has a storage of an unknown kind")
        return _Storage(str(key), dtype, int(size))


def _load(stream: IO[bytes]) -> Any:
    """Return the value of the pickle that a stream continues with.

    Python's unpickler takes memory for the highest number under which a pickle remembers a value, and for the length
    that a text declares. Both are compared with what the pickle holds first.
    """
    start = stream.tell()
    remembered = 0
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            remembered += 1
            if int(argument or 0) > 4 * remembered + 1024:
                raise pickle.UnpicklingError(f"it remembers {remembered} values, and one under the number {argument}")
    stream.seek(start)
    return _Unpickler(stream).load()


def _stored(archive: zipfile.ZipFile, name: str, size: int | None = None) -> bytes:
    """Return a member of an archive, whose members PyTorch never compresses.

    Args:
        archive: the archive.
        name: the name of the member.
        size: the number of bytes that it must have; None for any.
    """
    member = archive.getinfo(name)
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    if size not in (None, member.file_size):
        raise ValueError(f"{name} has {member.file_size} bytes, and its tensors declare {size}")
    return archive.read(member)


def _tensors_of(value: Any) -> dict[str, _Tensor]:
    if not isinstance(value, dict):
        raise ValueError(f"it must hold a dictionary of tensors. Received: a {type(value).__name__}")
    tensors = {name: tensor for name, tensor in value.items() if isinstance(tensor, _Tensor)}
    if not tensors:
        raise ValueError("it holds no tensors")
    return tensors


def _read_zip(data: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if len(pickles) != 1:
            raise ValueError("it is not a file of weights (no data.pkl)")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and _stored(archive, f"{folder}byteorder") != b"little":
            raise ValueError("its numbers are big-endian")
        tensors = _tensors_of(_load(io.BytesIO(_stored(archive, pickles[0]))))
        storages: dict[str, np.ndarray] = {}
        arrays = {}
        for name, tensor in tensors.items():
            storage = tensor.storage
            if storage.key not in storages:
                size = storage.size * storage.dtype.itemsize
                numbers = _stored(archive, f"{folder}data/{storage.key}", size)
                storages[storage.key] = np.frombuffer(numbers, storage.dtype)
            arrays[name] = tensor.read(storages[storage.key])
        return arrays


def _read_stream(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of a file from before PyTorch 1.6: five pickles, then each storage's length and numbers."""
    stream = io.BytesIO(data)
    if _load(stream) != _LEGACY_MAGIC or _load(stream) != _LEGACY_PROTOCOL:
        raise ValueError("it is not a file of PyTorch")
    system = _load(stream)
    if not isinstance(system, dict) or not system.get("little_endian"):
        raise ValueError("its numbers are big-endian")
    tensors = _tensors_of(_load(stream))
    known = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    storages: dict[str, np.ndarray] = {}
    for key in _load(stream):
        if key not in known:
            raise ValueError(f"it has a storage that no tensor refers to ({key!r})")
        (size,) = struct.unpack("<q", stream.read(8))  # np.frombuffer compares it with the rest of the file
        if size != known[key].size:
            raise ValueError("a storage is of another length than its tensors say")
        start = stream.tell()
        storages[key] = np.frombuffer(data, known[key].dtype, size, start)
        stream.seek(start + size * known[key].dtype.itemsize)
    return {name: tensor.read(storages[tensor.storage.key]) for name, tensor in tensors.items()}


def read_torch_file(data: bytes, source: str) -> dict[str, np.ndarray]:
    """Return the tensors of a file that `torch.save(model.state_dict())` wrote.

    Args:
        data: the file's bytes.
        source: the file's name, for messages.

    Returns:
        name -> array, in the file's order.

    Raises:
        ValueError: the file is damaged, or its pickle names anything other than tensors, dictionaries and numbers.
    """
    try:
        return _read_zip(data) if zipfile.is_zipfile(io.BytesIO(data)) else _read_stream(data)
    except (
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        struct.error,
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        # A damaged pickle can raise any of these errors.
        raise ValueError(f"{source}: the weights cannot be read ({error})") from None
