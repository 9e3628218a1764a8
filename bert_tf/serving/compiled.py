"""The compiled forward passes of the predictor, for Keras models on any backend and for SavedModels."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bert_tf.models.encoder import BertEncoder
from bert_tf.models.pooling import text_vectors
from bert_tf.serving.padding_free import without_padding


def compiled(model: Any) -> Callable[[dict[str, Any]], Any]:
    """Return a compiled function that computes the model's outputs from its inputs."""
    if isinstance(model, keras.Model) and keras.backend.backend() != "tensorflow":
        return model.predict_on_batch
    # An export leaves padding out itself.
    return tf.function(without_padding(model) if isinstance(model, keras.Model) else model, reduce_retracing=True)


def compiled_function(
    model: keras.Model, function: Callable[..., Any], rows: Sequence[str] | None = None
) -> Callable[..., Any]:
    """Return a compiled function of tensors and arrays that reads the model's weights.

    Args:
        model: the model.
        function: the function.
        rows: the names of the inputs, int32 of two axes, if the function takes one dictionary of them: TensorFlow then
            traces it once for all shapes. Else it is compiled for each shape that occurs.
    """
    if keras.backend.backend() == "tensorflow":
        if rows is None:
            return tf.function(function, autograph=False)
        inputs = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in rows}
        return tf.function(function, autograph=False, input_signature=[inputs])
    if keras.backend.backend() != "jax":
        return function
    import jax

    @jax.jit
    def pure(values: list[Any], *arguments: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
            return function(*arguments)

    return lambda *arguments: pure([variable.value for variable in model.variables], *arguments)


def compiled_vectors(model: Any) -> Callable[[dict[str, Any], str], Any]:
    """Return a compiled function of (inputs, pooling) that computes the vectors of texts by the encoder."""
    encoder = model
    if isinstance(model, keras.Model):
        encoder = model if isinstance(model, BertEncoder) else model.encoder
        if keras.backend.backend() != "tensorflow":

            def of_arrays(inputs: dict[str, Any], pooling: str) -> np.ndarray:
                return text_vectors(encoder.predict_on_batch(inputs), inputs, pooling, normalize=False, numpy=np)

            return of_arrays
        encoder = without_padding(encoder)

    def vectors(inputs: dict[str, Any], pooling: str) -> tf.Tensor:
        return text_vectors(encoder(inputs), inputs, pooling, normalize=False, numpy=keras.ops)

    return tf.function(vectors, reduce_retracing=True)
