"""The base classes of the models that are read from an export, and the names of their signatures."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_tf.tasks import MODEL_KINDS


def signature_name(task: str, signature: str) -> str:
    """Return the name of a signature of one task in an export of several.

    >>> signature_name("ner", "serving_default"), signature_name("ner", "token_ids"), signature_name("", "token_ids")
    ('ner', 'ner_token_ids', 'token_ids')

    Args:
        task: the name of the task; "" for the only one.
        signature: its name in an export of this task alone.
    """
    if not task:
        return signature
    return task if signature == "serving_default" else f"{task}_{signature}"


class ExportedModel:
    """A model as an export holds it, called in the same way as the Keras model that it was made of.

    It returns the outputs of its task. Unlike a Keras model, it has no encoder that can be used alone.
    """

    def generate(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return what `models.generation.Generation` returns for the inputs, if the model generates texts."""
        raise NotImplementedError


class ArrayModel(ExportedModel):
    """A file of an export that a runtime of its own computes, without TensorFlow, from arrays.

    Args:
        task: the model's task.
    """

    def __init__(self, task: str) -> None:
        self._task = task

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> Any:
        """Return the outputs of the model as arrays. It cannot be called in a graph.

        Args:
            inputs: `input_ids`, `input_mask` and `segment_ids`, int32 [B, L]; others are ignored.

        Raises:
            ValueError: a row has more tokens than the file takes.
        """
        outputs = self.run(inputs)
        name = MODEL_KINDS[self._task].output
        return outputs[name] if name else outputs

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name. Arguments as in `__call__`."""
        raise NotImplementedError
