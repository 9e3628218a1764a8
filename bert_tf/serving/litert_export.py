"""The export of models to `.tflite` files for LiteRT (TensorFlow Lite); `serving.litert` reads them."""

import tempfile
from functools import partial
from typing import Any

import tensorflow as tf

from bert_tf.features import ID_NAMES
from bert_tf.models.weights import named_weights
from bert_tf.serving.padding_free import in_one_matrix
from bert_tf.serving.signatures.base import named
from bert_tf.tasks import MODEL_KINDS
from bert_tf.utils import files


def check_task(task: str) -> None:
    """Check that models for `task` can be converted, as they read nothing but the encoder's inputs.

    Raises:
        ValueError: the task is `pretraining` or `seq2seq`.
    """
    if MODEL_KINDS[task].head_inputs:
        raise ValueError(f"`litert` takes encoders and fine-tuned models of one step. Received: a model for {task}")


def write_litert(model: Any, task: str, path: str, *, quantization: str = "float32", length: int | None = None) -> int:
    """Convert a model to LiteRT and write the file.

    Args:
        model: an encoder or a fine-tuned model, in float32.
        task: the model's task.
        path: the file to write, whole or not at all.
        quantization: one of `options.QUANTIZATIONS`.
        length: number of tokens of the one row that the file takes; None for any number of rows of any length.

    Returns:
        The file's size in bytes.

    Raises:
        ValueError: the task is `pretraining` or `seq2seq`.
    """
    check_task(task)
    module = tf.Module()
    module.weights = [variable.value for variable in named_weights(model).values()]

    shape = [None, None] if length is None else [1, length]
    call = in_one_matrix(model) if length else partial(model, training=False)

    @tf.function(input_signature=[named(tf.TensorSpec(shape, tf.int32), name) for name in ID_NAMES], autograph=False)
    def serving_default(*ids: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = call(dict(zip(ID_NAMES, ids, strict=True)))
        return {name: outputs} if (name := MODEL_KINDS[task].output) else outputs

    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": serving_default})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serving_default"])
        if quantization == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        contents = converter.convert()
    files.write_bytes(path, contents)
    return len(contents)
