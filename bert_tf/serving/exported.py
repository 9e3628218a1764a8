"""The base classes of the models that are read from an export."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_tf.tasks import MODEL_KINDS


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
        return outputs[name] if (name := MODEL_KINDS[self._task].output) else outputs

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name. Arguments as in `__call__`."""
        raise NotImplementedError
