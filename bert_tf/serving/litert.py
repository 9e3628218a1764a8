"""Models for phones and small computers: the `.tflite` files of LiteRT (TensorFlow Lite), and how they are called.

They are read by the package `ai-edge-litert`, where neither TensorFlow nor Keras need be installed.

A file takes `input_ids`, `input_mask` and `segment_ids`, int32 [B, L] of any size (resize the inputs first). It returns
the outputs of the Keras model: `logits` of classifiers and taggers, `values`, `start_logits` and `end_logits`, or
`sequence_output` and `pooled_output`. Texts are tokenized outside of it. A file of a fixed length, `..._1x16.tflite`,
takes inputs of shape [1, 16]. All its shapes are known, so that LiteRT runs it with its fastest kernels (XNNPACK).
"""

import os
import re
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_tf.features import ID_NAMES
from bert_tf.serving.exported import ArrayModel
from bert_tf.serving.litert_file import check_litert_file
from bert_tf.tasks import MODEL_KINDS
from bert_tf.utils import files

_FIXED_FILE = re.compile(r"_1x(\d+)\.tflite$")


def file_name(quantization: str, length: int | None = None) -> str:
    """Return the name of an export's file.

    >>> file_name("float32"), file_name("int8", 16)
    ('model_float32.tflite', 'model_int8_1x16.tflite')
    """
    return f"model_{quantization}{'' if length is None else f'_1x{length}'}.tflite"


class LiteModel(ArrayModel):
    """A `.tflite` file of `litert_export.write_litert`, called in the same way as the Keras model that it was made of.

    Threads may share it; it computes one call at a time.
    If files of fixed lengths lie beside it, a single row is computed by the shortest one that holds it.

    Args:
        path: the file.
        task: the model's task.

    Attributes:
        length: number of tokens in a row, if fixed; longer rows are refused. None for any length.

    Raises:
        ImportError: `ai-edge-litert` is not installed.
        ValueError: the file is not a LiteRT file, or is damaged.
    """

    def __init__(self, path: str, task: str) -> None:
        super().__init__(task)
        self._path = path
        contents = files.read_bytes(path)
        check_litert_file(contents, path)
        try:
            self._interpreter = _interpreter_class()(model_content=contents, num_threads=os.cpu_count())
        except ValueError as error:
            raise ValueError(f"{path}: not a LiteRT file, or a damaged one ({str(error).splitlines()[0]})") from None
        self._runner = self._interpreter.get_signature_runner("serving_default")
        length = self._runner.get_input_details()["input_ids"]["shape_signature"][1]
        self.length: int | None = None if length < 0 else int(length)
        self._details = self._runner.get_output_details()
        self._fixed_files = {} if self.length else _fixed_files(path)
        self._fixed: dict[int, LiteModel] = {}
        self._lock = threading.Lock()  # an interpreter has one set of tensors, and uses all cores for one call

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name. Arguments as in `__call__`."""
        arrays = {name: np.asarray(inputs[name], np.int32) for name in ID_NAMES}
        with self._lock:
            return self._run(arrays)

    def _run(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.length is not None:
            return self._run_rows(arrays, self.length)
        if len(arrays["input_mask"]) == 1:
            tokens = _tokens(arrays["input_mask"])
            fitting = [length for length in self._fixed_files if length >= tokens]
            if fitting:
                return self._of_length(min(fitting)).run(arrays)
        return self._runner(**arrays)

    def _of_length(self, length: int) -> "LiteModel":
        if length not in self._fixed:
            self._fixed[length] = LiteModel(self._fixed_files[length], self._task)
        return self._fixed[length]

    def _run_rows(self, arrays: dict[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
        """Return outputs computed row by row at the file's `length`, then resized to the length of the inputs."""
        rows, width = arrays["input_mask"].shape
        tokens = _tokens(arrays["input_mask"])
        if tokens > length:
            raise ValueError(f"{self._path}: rows have at most {length} tokens. Received: {tokens}")
        fitted = {name: _resized(array, length) for name, array in arrays.items()}
        found: list[dict[str, np.ndarray]] = [
            self._runner(**{name: array[row : row + 1] for name, array in fitted.items()}) for row in range(rows)
        ]
        outputs = {}
        for name in self._details:
            parts = [output[name] for output in found]
            joined = np.concatenate(parts) if parts else np.zeros((0, *self._details[name]["shape"][1:]), np.float32)
            outputs[name] = _resized(joined, width) if self._is_by_token(name) else joined
        return outputs

    def _is_by_token(self, name: str) -> bool:
        return name in MODEL_KINDS[self._task].token_outputs


def _interpreter_class() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError(f"a LiteRT file needs ai-edge-litert: pip install 'bert_tf[litert]' ({error})") from error
    return Interpreter


def _fixed_files(path: str) -> dict[int, str]:
    """Return the files of fixed lengths that lie beside a file of any length, by their lengths."""
    folder, name = os.path.split(path)
    stem = name.removesuffix(".tflite")
    found = {}
    for other in files.names_in_folder(folder or "."):
        match = _FIXED_FILE.search(other)
        if match and other == f"{stem}{match[0]}":
            found[int(match[1])] = os.path.join(folder, other)
    return found


def _tokens(input_mask: np.ndarray) -> int:
    """Return the number of tokens in the longest row, without its padding."""
    positions = np.flatnonzero((input_mask > 0).any(axis=0))
    return int(positions[-1]) + 1 if positions.size else 0


def _resized(array: np.ndarray, length: int) -> np.ndarray:
    """Return an array [B, L, ...] cut, or padded with zeros, to `length`."""
    missing = max(length - array.shape[1], 0)
    return np.pad(array[:, :length], [(0, 0), (0, missing)] + [(0, 0)] * (array.ndim - 2))
