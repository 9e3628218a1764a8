"""Models for phones and small computers: `.tflite` files for LiteRT (TensorFlow Lite), and how to ask them.

A file takes `input_ids`, `input_mask` and `segment_ids`, int32 [B, L] of any size (resize the inputs first), and gives
what the Keras model gives: `logits` of classifiers and taggers, `values`, `start_logits` and `end_logits`, or
`sequence_output` and `pooled_output`. Texts are tokenized outside of it.
"""

import os
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf import files
from bert_tf.models.weights import named_weights
from bert_tf.serving.served import ID_NAMES, named

OUTPUTS = {"classification": "logits", "multi_label": "logits", "tagging": "logits", "regression": "values"}
"""The name of the output of models that have one; the others name theirs."""


def check_task(task: str) -> None:
    """ValueError where models for `task` are not converted."""
    if task == "pretraining":
        raise ValueError("--litert takes encoders and fine-tuned models. Received: a pre-trained model with its heads")


def write_litert(model: Any, task: str, path: str, quantization: str = "float32") -> int:
    """Convert a model to LiteRT.

    Args:
        model: an encoder or a fine-tuned model, in float32.
        task: what it is for.
        path: file to write, whole or not at all.
        quantization: one of `options.QUANTIZATIONS`.

    Returns:
        The file's size in bytes.

    Raises:
        ValueError: the task is `pretraining`.
    """
    check_task(task)
    module = tf.Module()
    module.weights = [variable.value for variable in named_weights(model).values()]

    @tf.function(
        input_signature=[named(tf.TensorSpec([None, None], tf.int32), name) for name in ID_NAMES], autograph=False
    )
    def serving_default(*ids: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model(dict(zip(ID_NAMES, ids, strict=True)), training=False)
        return {OUTPUTS[task]: outputs} if task in OUTPUTS else outputs

    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": serving_default})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serving_default"])
        if quantization == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        contents = converter.convert()
    files.write_bytes(path, contents)
    return len(contents)


class LiteModel:
    """A `.tflite` file of `write_litert`, called as the Keras model that it was made of.

    Args:
        path: the file.
        task: what the model is for.

    Raises:
        ValueError: it is no such file, or damaged.
    """

    def __init__(self, path: str, task: str) -> None:
        self._task = task
        try:
            self._interpreter = tf.lite.Interpreter(model_content=files.read_bytes(path), num_threads=os.cpu_count())
        except ValueError as error:
            raise ValueError(f"{path}: no LiteRT file, or a damaged one ({str(error).splitlines()[0]})") from None
        self._runner = self._interpreter.get_signature_runner("serving_default")
        details = self._runner.get_output_details()
        self._names = tuple(sorted(details))
        # Of the file's own axes, -1 where they follow the inputs.
        self._shapes = [
            [None if size < 0 else size for size in details[name]["shape_signature"]] for name in self._names
        ]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name.

        Args:
            inputs: `input_ids`, `input_mask`, `segment_ids`, int32 [B, L].
        """
        return self._runner(**{name: np.asarray(inputs[name], np.int32) for name in ID_NAMES})

    def __call__(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> Any:
        """The same in a graph that runs in this process."""

        def run(*ids: np.ndarray) -> list[np.ndarray]:
            outputs = self.run(dict(zip(ID_NAMES, ids, strict=True)))
            return [outputs[name] for name in self._names]

        tensors = tf.numpy_function(run, [inputs[name] for name in ID_NAMES], [tf.float32] * len(self._names))
        for tensor, shape in zip(tensors, self._shapes, strict=True):
            tensor.set_shape(shape)
        outputs = dict(zip(self._names, tensors, strict=True))
        return outputs[OUTPUTS[self._task]] if self._task in OUTPUTS else outputs
