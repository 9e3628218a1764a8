"""The signatures of an export, computed by its LiteRT or ONNX file in place of the SavedModel's graph.

TensorFlow reads the texts and writes the answers, as in the SavedModel; the file computes the model in between.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf.features import ID_NAMES
from bert_tf.runs.descriptions import ModelDescription
from bert_tf.serving import litert, onnx_model
from bert_tf.serving.exported import ArrayModel, ExportedModel
from bert_tf.serving.loading import read_model
from bert_tf.serving.options import ExportOptions
from bert_tf.tasks import MODEL_KINDS
from bert_tf.utils import files

_LITERT = "litert"


def runtime_file(folder: str, runtime: str) -> str:
    """Return the file of an export's version that a runtime computes.

    Args:
        folder: the folder of the version.
        runtime: `onnx`; or `litert` for the LiteRT file in float32, or the only one; or `litert:int8` for that one.

    Raises:
        FileNotFoundError: the version has no such file.
        ValueError: the version has several LiteRT files, none in float32.
    """
    name, _, quantization = runtime.partition(":")
    if name == _LITERT and not quantization:
        inside = os.path.join(folder, _LITERT)
        known = sorted(each for each in files.names_in_folder(inside) if each.endswith(".tflite") and "_1x" not in each)
        if len(known) > 1 and litert.file_name("float32") not in known:
            choices = ", ".join(f"litert:{each.removeprefix('model_').removesuffix('.tflite')}" for each in known)
            raise ValueError(f"`runtime` must be one of {choices} for {folder}. Received: {runtime!r}")
        quantization = known[0].removeprefix("model_").removesuffix(".tflite") if len(known) == 1 else "float32"
    file = litert.file_name(quantization) if name == _LITERT else onnx_model.FILE
    path = os.path.join(folder, name, file)
    if not files.exists(path):
        raise FileNotFoundError(
            f"`runtime` needs {name}/{file}, which bert-tf export-saved-model --{name} writes. Received: {folder}"
        )
    return path


def runtime_signatures(folder: str, runtime: str) -> dict[str, Callable[..., dict[str, tf.Tensor]]]:
    """Return the signatures of an export's version by name, each a function of its inputs by name.

    Args:
        folder: the folder of the version.
        runtime: see `runtime_file`.

    Raises:
        ImportError: the runtime or TensorFlow Text is not installed.
        FileNotFoundError: the version has no such file.
        ValueError: the file is damaged.
    """
    from bert_tf.serving.export import signatures_of

    model, description, tokenizer = read_model(runtime_file(folder, runtime))
    made = signatures_of(description.task)(
        _InGraph(model, description), description, tokenizer, options=ExportOptions()
    )
    return {name: _by_name(function) for name, function in made.signatures().items()}


def _by_name(function: Any) -> Callable[..., dict[str, tf.Tensor]]:
    names = [spec.name for spec in function.input_signature]
    return lambda **inputs: function(*(inputs[name] for name in names))


class _InGraph(ExportedModel):
    """A file of an export as an operation of a graph, called as the Keras model that it was made of."""

    weights = ()

    def __init__(self, model: ArrayModel, description: ModelDescription) -> None:
        kind = MODEL_KINDS[description.task]
        self._model = model
        self._output = kind.output
        self.probabilities = getattr(kind.model_class(), "probabilities", None)
        probe = model.run({name: np.ones((1, 2), np.int32) for name in ID_NAMES})
        self._shapes = {
            name: [None, *((None,) if name in kind.token_outputs else array.shape[1:2]), *array.shape[2:]]
            for name, array in probe.items()
        }

    def __call__(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """Return the outputs of the model for `input_ids`, `input_mask` and `segment_ids`, int32 [B, L]."""
        arrays = [inputs[name] for name in ID_NAMES]
        found = tf.numpy_function(self._computed, arrays, [tf.float32] * len(self._shapes), stateful=False)
        pairs = zip(found, self._shapes.items(), strict=True)
        outputs = {name: tf.ensure_shape(tensor, shape) for tensor, (name, shape) in pairs}
        return outputs if self._output is None else outputs[self._output]

    def _computed(self, *arrays: np.ndarray) -> list[np.ndarray]:
        outputs = self._model.run(dict(zip(ID_NAMES, arrays, strict=True)))
        return [np.asarray(outputs[name], np.float32) for name in self._shapes]
