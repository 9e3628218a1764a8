"""The reader of `tf_model.h5`, the HDF5 files of weights that Keras 2 wrote.

It needs neither TensorFlow nor Keras. A file that declares more than it holds is refused by its sizes, before any
memory is taken for it. HDF5 can refer to other files; such references are not followed.
"""

import io
from typing import Any

import numpy as np


def read_h5_file(data: bytes, source: str) -> dict[str, np.ndarray]:
    """Return the tensors of an HDF5 file.

    Args:
        data: the file's bytes.
        source: the file's name, for messages.

    Returns:
        path in the file -> array, such as `bert/tf_bert_model/bert/pooler/dense/bias:0`, sorted.

    Raises:
        ValueError: the file is damaged, or holds something other than plain arrays of numbers.
    """
    import h5py  # of Keras; most sources are read without it

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            tensors: dict[str, Any] = {}
            # Links to other files, and to other names of a tensor, are not followed.
            file.visititems(lambda name, item: tensors.update({name: item}) if isinstance(item, h5py.Dataset) else None)
            if not tensors:
                raise ValueError("it holds no tensors")
            for name, tensor in tensors.items():
                _check_storage(name, tensor)
            declared = sum(tensor.nbytes for tensor in tensors.values())
            if declared > len(data):
                raise ValueError(f"its tensors declare {declared} bytes, and it has {len(data)}")
            return {name: tensor[()] for name, tensor in tensors.items()}
    # A damaged file can raise any of these errors.
    except (OSError, RuntimeError, LookupError, ArithmeticError, MemoryError, TypeError, ValueError) as error:
        raise ValueError(f"{source}: the weights cannot be read ({error})") from None


def _check_storage(name: str, tensor: Any) -> None:
    """Raise a ValueError if a tensor's numbers are not stored in the file as they are."""
    from h5py import h5d

    layout = tensor.id.get_create_plist()
    if tensor.shape is None or tensor.dtype.kind not in "fiub":
        raise ValueError(f"{name!r} must hold numbers. Received: {tensor.dtype}")
    if layout.get_layout() not in (h5d.CONTIGUOUS, h5d.COMPACT) or layout.get_external_count():
        raise ValueError(f"{name!r} must be stored in one part, not compressed and not in another file")
    held = tensor.id.get_storage_size()
    if held < tensor.nbytes:
        raise ValueError(f"{name!r} declares {tensor.nbytes} bytes, and has {held}")
