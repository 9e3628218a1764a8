"""TensorFlow's checkpoint files, for modules that are imported without TensorFlow.

```
PREFIX.index  PREFIX.data-00000-of-00001        named tensors; the index holds their shapes, dtypes and checksums
```
"""

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_tf.utils import files


def _tensorflow() -> Any:
    try:
        import tensorflow
    except ImportError as error:
        raise ImportError(f"TensorFlow's checkpoints need it: pip install 'bert_tf[cpu]' ({error})") from error
    return tensorflow


class BundleError(ValueError):
    """The error that a bundle cannot be read. Its message is TensorFlow's reason."""


class Bundle:
    """The reader of a bundle. It opens the index; a tensor is read, and its checksum checked, when it is asked for.

    Args:
        prefix: the path of the files, without `.index`.

    Raises:
        BundleError: the index cannot be read.
        ImportError: TensorFlow is not installed.
    """

    def __init__(self, prefix: str) -> None:
        tf = _tensorflow()
        self._prefix = prefix
        self._string = tf.string
        self._errors = (tf.errors.OpError, ValueError, IndexError, RuntimeError)
        try:
            # `tf.train.load_checkpoint` would take a request more, because it first looks whether the path is a folder.
            self._reader = tf.compat.v1.train.NewCheckpointReader(prefix)
        except self._errors as error:
            raise BundleError(str(error)) from None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor, by name."""
        return {name: tuple(shape) for name, shape in self._reader.get_variable_to_shape_map().items()}

    def read(self, name: str) -> np.ndarray:
        """Return the values of a tensor.

        Raises:
            BundleError: there is no such tensor, or it has changed since it was written.
        """
        try:
            return self._reader.get_tensor(name)
        except self._errors as error:
            raise BundleError(str(error)) from None

    def read_numbers(self) -> dict[str, np.ndarray]:
        """Return all tensors but strings, by name, sorted.

        Raises:
            BundleError: a tensor cannot be read, or the files hold fewer bytes than the index declares.
        """
        kinds = {name: kind for name, kind in self._reader.get_variable_to_dtype_map().items() if kind != self._string}
        shapes = self.shapes()
        declared = sum(math.prod(shapes[name]) * kind.size for name, kind in kinds.items())
        held = self._bytes_of_data()
        if declared > held:  # TensorFlow would take this memory before it misses the values
            raise BundleError(f"its index declares {declared} bytes, and its data files hold {held}")
        return {name: self.read(name) for name in sorted(kinds)}

    def _bytes_of_data(self) -> int:
        folder, name = os.path.split(self._prefix)
        parts = [part for part in files.names_in_folder(folder or ".") if part.startswith(f"{name}.data-")]
        return sum(files.size(os.path.join(folder, part)) for part in parts)


def write_bundle(prefix: str, tensors: Mapping[str, np.ndarray]) -> None:
    """Write named tensors as a bundle.

    Args:
        prefix: the path of the files, without `.index`.
        tensors: the values by name.

    Raises:
        tf.errors.OpError: the files cannot be written; `file_systems.file_errors` has this kind.
        ImportError: TensorFlow is not installed.
    """
    tf = _tensorflow()
    with tf.device("/cpu:0"):
        tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=list(tensors),
            shape_and_slices=[""] * len(tensors),
            tensors=list(tensors.values()),
        )
