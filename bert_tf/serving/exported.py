"""The base class of the models that are read from an export."""

from typing import Any


class ExportedModel:
    """A model as an export holds it, called in the same way as the Keras model that it was made of.

    It returns the outputs of its task. Unlike a Keras model, it has no encoder that can be used alone.
    """

    def generate(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return what `models.generation.Generation` returns for the inputs, if the model generates texts."""
        raise NotImplementedError
