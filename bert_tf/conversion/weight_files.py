"""The files of weights in a folder of Hugging Face: safetensors, PyTorch's and TensorFlow's, whole or in parts."""

import os

import ml_dtypes
import numpy as np
import safetensors

from bert_tf.conversion.h5_files import read_h5_file
from bert_tf.conversion.torch_files import read_torch_file
from bert_tf.utils import files
from bert_tf.utils.file_kinds import refuse_lfs_pointer

_INDEX = ".index.json"
WEIGHT_FILES = tuple(
    f"{name}{end}" for name in ("model.safetensors", "pytorch_model.bin", "tf_model.h5") for end in ("", _INDEX)
)
"""The files that may hold weights, in order of preference. An index names the files of weights that are split."""

_DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "BOOL": np.bool_}
_DTYPES |= {f"{kind}{bits}": np.dtype(f"{kind.lower()}{bits // 8}") for kind in "IU" for bits in (8, 16, 32, 64)}


def read_weights(folder: str) -> tuple[dict[str, np.ndarray], str, tuple[str, ...]]:
    """Return the tensors of the preferred file of weights in a folder, by their names there.

    Args:
        folder: the folder.

    Returns:
        The tensors, the name of the file or index that was read, and the names of those that were not.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged.
    """
    found = [name for name in WEIGHT_FILES if files.exists(os.path.join(folder, name))]
    if not found:
        raise FileNotFoundError(f"the folder must hold one of {', '.join(WEIGHT_FILES)}. Received: {folder!r}")
    tensors: dict[str, np.ndarray] = {}
    for part in parts_of(os.path.join(folder, found[0])):
        file = os.path.join(folder, part)
        for name, value in _read_file(file).items():
            if name in tensors:
                raise ValueError(f"{file}: each tensor must be in one file. Received: {name!r}, a second time")
            tensors[name] = value
    return tensors, found[0], tuple(found[1:])


def parts_of(file: str) -> list[str]:
    """Return the names of the files that hold the weights: those that an index lists, or `file` itself.

    Args:
        file: the path of one of `WEIGHT_FILES`.

    Raises:
        ValueError: the index is damaged.
    """
    if not file.endswith(_INDEX):
        return [os.path.basename(file)]
    index = files.read_json(file)
    parts = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(parts, dict) or not all(_is_name(part) for part in parts.values()):
        raise ValueError(f"{file} must hold `weight_map`, with names of files beside it. Received: {index!r:.100}")
    return sorted(set(parts.values()))


def _is_name(part: object) -> bool:
    return isinstance(part, str) and os.path.basename(part) == part != ""


def _read_file(file: str) -> dict[str, np.ndarray]:
    data = files.read_bytes(file)
    refuse_lfs_pointer(data, file)
    if file.endswith(".h5"):
        return read_h5_file(data, file)
    return _read_safetensors(data, file) if file.endswith(".safetensors") else read_torch_file(data, file)


def _read_safetensors(data: bytes, file: str) -> dict[str, np.ndarray]:
    try:
        found = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{file}: the weights cannot be read ({error})") from None
    tensors = {}
    for name, tensor in found:
        if tensor["dtype"] not in _DTYPES:
            raise ValueError(f"{file}: {name!r} must be one of {', '.join(_DTYPES)}. Received: {tensor['dtype']}")
        tensors[name] = np.frombuffer(tensor["data"], _DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
    return tensors
