"""The reader of SavedModels that `serving.export` wrote."""

from typing import Any

import tensorflow as tf

from bert_tf.serving.exported import ExportedModel
from bert_tf.tasks import MODEL_KINDS


def load_graph(path: str) -> Any:
    """Return a SavedModel with its signatures, which must not outlive it.

    Args:
        path: the folder of one version.

    Raises:
        ImportError: TensorFlow Text, whose operations the graph has, is not installed.
        OSError: there is no such SavedModel.
    """
    try:
        import tensorflow_text  # noqa: F401  (registers operations)
    except ImportError as error:
        raise ImportError(f"an export needs TensorFlow Text: pip install 'bert_tf[text]' ({error})") from error
    return tf.saved_model.load(path)


class SavedModel(ExportedModel):
    """A SavedModel of `serving.export`, called in the same way as the Keras model that it was made of.

    Args:
        path: the folder of one version.
        task: the task in its description.

    Raises:
        ImportError: TensorFlow Text, whose operations the graph has, is not installed.
    """

    def __init__(self, path: str, task: str) -> None:
        self._loaded = load_graph(path)  # keeps the variables alive
        self._signatures = self._loaded.signatures
        self._task = task

    def __call__(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """Return the outputs of the model for the inputs of its encoder and heads, int32."""
        # Without positions to predict at, a pre-trained model is an encoder.
        is_encoder = not inputs.keys() >= set(MODEL_KINDS[self._task].head_inputs)
        signature = self._signatures["encoder" if is_encoder else "token_ids"]
        outputs = _answered(signature, inputs)
        return outputs[name] if (name := MODEL_KINDS[self._task].output) else outputs

    def generate(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return what `models.generation.Generation` returns for its inputs; for a model for sequence to sequence."""
        seed = {"seed": inputs["seeds"][:, 0]} if "seeds" in inputs else {}
        return _answered(self._signatures["token_ids"], inputs | seed)


def _answered(signature: Any, inputs: dict[str, Any]) -> dict[str, tf.Tensor]:
    names = signature.structured_input_signature[1]
    return signature(**{name: tf.convert_to_tensor(inputs[name], tf.int32) for name in names})
