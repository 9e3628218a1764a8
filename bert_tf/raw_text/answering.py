"""The answers of a model to texts: the methods of the predictor, on the model itself."""

from typing import Any

from bert_tf.raw_text.fitting import preprocessor_of
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.predictor import Predictor
from bert_tf.serving.trained import of_model


def predictor_of(model: Any, method: str) -> Predictor:
    """Return the predictor of a model, which is made once for each preprocessor that the model has.

    Args:
        model: the model.
        method: the method that asks for it, for messages.

    Raises:
        ValueError: the model has no tokenizer.
    """
    preprocessor = preprocessor_of(model, method)
    known = getattr(model, "_text_predictor", None)
    if known is None or known[0] is not preprocessor:
        predictor = Predictor(*of_model(model), source=f"the {type(model).__name__}")
        known = (preprocessor, predictor)
        object.__setattr__(model, "_text_predictor", known)  # not through Keras, which would look into it for layers
    return known[1]


def export(model: Any, export_dir: str, options: ExportOptions | None = None, **kwargs: Any) -> str:
    """Write a SavedModel. Arguments, result and errors are those of `BertModel.export_for_serving`."""
    from bert_tf.serving.export import export_saved_model  # TensorFlow Text and all signatures, for this alone

    return export_saved_model(model, export_dir, options, **kwargs)
