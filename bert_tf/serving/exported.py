"""The base class of the models that are read from an export."""


class ExportedModel:
    """A model as an export holds it, called in the same way as the Keras model that it was made of.

    It returns the outputs of its task. Unlike a Keras model, it has no encoder that can be used alone.
    """
