"""Models for ONNX Runtime: the `.onnx` file of an export, and how it is called.

It is read by the package `onnxruntime`, where neither TensorFlow nor Keras need be installed. The file takes
`input_ids`, `input_mask` and `segment_ids`, int32 [B, L] of any size, and returns the outputs of the Keras model:
`logits` of classifiers and taggers, `values`, `start_logits` and `end_logits`, or `sequence_output` and
`pooled_output`. Texts are tokenized outside of it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_tf.features import ID_NAMES
from bert_tf.serving.exported import ArrayModel
from bert_tf.utils import files

FILE = "model.onnx"
"""The name of an export's file."""


class OnnxModel(ArrayModel):
    """An `.onnx` file of `onnx_export.write_onnx`, called in the same way as the Keras model that it was made of.

    Threads may share it.

    Args:
        path: the file.
        task: the model's task.

    Raises:
        ImportError: `onnxruntime` is not installed.
        FileNotFoundError: there is no such file.
        ValueError: the file is not an ONNX file, is damaged, or was not written by `write_onnx`.
    """

    def __init__(self, path: str, task: str) -> None:
        super().__init__(task)
        runtime = _runtime()
        contents = files.read_bytes(path)
        try:
            self._session = runtime.InferenceSession(contents, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has an exception of its own for each kind of damage
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{path}: not an ONNX file, or a damaged one ({reason})") from None
        inputs = [each.name for each in self._session.get_inputs()]
        if sorted(inputs) != sorted(ID_NAMES):
            raise ValueError(
                f"{path}: must take {', '.join(ID_NAMES)}. Received: a file that takes {', '.join(inputs)}"
            )
        self._outputs = [each.name for each in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name. Arguments as in `__call__`."""
        arrays = {name: np.asarray(inputs[name], np.int32) for name in ID_NAMES}
        return dict(zip(self._outputs, self._session.run(self._outputs, arrays), strict=True))


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(f"an ONNX file needs onnxruntime: pip install 'bert_tf[onnx]' ({error})") from error
    return onnxruntime
