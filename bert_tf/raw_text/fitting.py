"""The way from the arguments of a model's `fit`, `evaluate` and `predict` on texts to those of Keras."""

import sys
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from bert_tf.raw_text.batches import EncodedBatches
from bert_tf.raw_text.datasets import encoded_dataset, is_dataset, is_encoded_in_pipeline, items_of_dataset
from bert_tf.raw_text.preprocessor import TaskPreprocessor
from bert_tf.tasks.natural_targets import check_number, class_name

_BATCH_SIZE = 32
_LOOKED_AT = 100  # items of an array of objects, whose first ones may be missing


def fit_arguments(model: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of Keras's `fit` for those of a model's `fit` on texts.

    Args:
        model: the model.
        arguments: all arguments of `fit` by name.

    Raises:
        ValueError: the model has no tokenizer, or an item of the data has another form.
    """
    given = dict(arguments)
    preprocessor = preprocessor_of(model, "fit")
    batch_size = _checked_size(given.pop("batch_size", None), _BATCH_SIZE)
    x, y, weights = given.pop("x"), given.pop("y", None), given.pop("sample_weight", None)
    share, held_out = given.pop("validation_split", 0.0), given.pop("validation_data", None)
    preprocessor = _weighted(preprocessor, given.pop("class_weight", None))
    if is_dataset(x) and (y is not None or weights is not None):
        raise ValueError("`y` and `sample_weight` must be left out with a tf.data.Dataset, whose elements hold them")
    if is_dataset(x) and not is_encoded_in_pipeline(preprocessor):
        x, y, weights = items_of_dataset(x, preprocessor)
    if is_dataset(x):
        if share:
            raise ValueError("`validation_split` must be left out with a tf.data.Dataset. Received: " + str(share))
        given |= {"x": encoded_dataset(x, preprocessor, batch_size, training=True), "shuffle": False}
    else:
        examples = _labelled(preprocessor, x, y, "fit")
        weights = _sample_weights(weights, len(examples))
        if share and held_out is None:
            examples, weights, held_out = _split(examples, weights, share)
        rows = preprocessor.encode(examples, training=True, weights=weights)
        shuffle = given.pop("shuffle", True)
        given["x"] = EncodedBatches(rows, preprocessor.task, batch_size=batch_size, shuffle=shuffle)
    if held_out is not None:
        size = _checked_size(given.pop("validation_batch_size", None), batch_size, "validation_batch_size")
        given["validation_data"] = _held_out(preprocessor, held_out, size)
    given.pop("validation_batch_size", None)
    return given


def evaluate_arguments(model: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of Keras's `evaluate` for those of a model's `evaluate` on texts; as `fit_arguments`."""
    given = dict(arguments)
    preprocessor = preprocessor_of(model, "evaluate")
    batch_size = _checked_size(given.pop("batch_size", None), _BATCH_SIZE)
    x, y, weights = given.pop("x"), given.pop("y", None), given.pop("sample_weight", None)
    held_out = x if is_dataset(x) else (x, y, weights)
    return given | {"x": _held_out(preprocessor, held_out, batch_size)}


def predictions(model: Any, arguments: dict[str, Any], predict: Any) -> Any:
    """Return the outputs of a model for texts, one row for each in the caller's order, as NumPy arrays.

    A sentence or a context that is longer than a row has several rows. Outputs of tokens are as long as the longest.

    Args:
        model: the model.
        arguments: all arguments of the model's `predict` by name.
        predict: Keras's `predict`.

    Raises:
        ValueError: as for `fit_arguments`.
    """
    given = dict(arguments)
    preprocessor = preprocessor_of(model, "predict")
    batch_size, x = _checked_size(given.pop("batch_size", None), _BATCH_SIZE), given.pop("x")
    if is_dataset(x) and not is_encoded_in_pipeline(preprocessor):
        x, _, _ = items_of_dataset(x, preprocessor)
    if is_dataset(x):
        return predict(encoded_dataset(x, preprocessor, batch_size, inputs_alone=True), **given)
    rows = preprocessor.encode(preprocessor.examples(x), training=preprocessor.joins_texts)
    if not len(rows):
        raise ValueError("`x` must hold at least one text. Received: none")
    by_token = bool(preprocessor.task is None or preprocessor.task.token_outputs)
    batches = EncodedBatches(rows, None, batch_size=batch_size, one_length=by_token)
    outputs = predict(batches, **given)
    order = np.argsort(batches.order)
    if isinstance(outputs, Mapping):
        return {name: output[order] for name, output in outputs.items()}
    return outputs[order]


def preprocessor_of(model: Any, method: str) -> TaskPreprocessor:
    """Return the preprocessor of a model.

    Raises:
        ValueError: it has none.
    """
    if model.preprocessor is None:
        raise ValueError(
            f"`{method}` on texts needs the model's tokenizer: make the model by `{type(model).__name__}."
            "from_pretrained(...)`, or call `model.set_tokenizer(tokenizer, ...)`. Received: a model without"
        )
    return model.preprocessor


def takes_texts(model: Any, x: Any) -> bool:
    """Return whether a model takes `x` as texts: it holds some, or it is an empty list for a model with a tokenizer."""
    return holds_text(x) or (model.preprocessor is not None and isinstance(x, list | tuple) and not len(x))


def holds_text(x: Any) -> bool:
    """Return whether an input of `fit` holds texts, or examples of texts, by the first items."""
    if isinstance(x, str | bytes) or type(x).__module__ == "bert_tf.examples":
        return True
    if is_dataset(x):
        spec = x.element_spec
        return any(
            leaf.dtype.name == "string" for leaf in keras.tree.flatten(spec[0] if isinstance(spec, tuple) else spec)
        )
    if isinstance(x, Mapping):
        return any(holds_text(value) for value in x.values())
    if hasattr(x, "columns"):
        return any(holds_text(x[name]) for name in x)
    tf = sys.modules.get("tensorflow")
    if tf is not None and isinstance(x, tf.Tensor | tf.RaggedTensor):
        return x.dtype == tf.string
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        if getattr(x.dtype, "kind", "O") in "US":
            return True
        return getattr(x.dtype, "kind", "") in "OT" and any(map(holds_text, np.asarray(x).reshape(-1)[:_LOOKED_AT]))
    if isinstance(x, list | tuple):
        return any(holds_text(item) or item is None for item in x[:2]) and any(map(holds_text, x))
    return False


def _checked_size(size: int | None, default: int, name: str = "batch_size") -> int:
    """Return the number of rows in a batch; the default for None."""
    if size is None:
        return default
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise ValueError(f"`{name}` must be a whole number of at least 1. Received: {size!r}")
    return int(size)


def _labelled(preprocessor: TaskPreprocessor, x: Any, y: Any, method: str) -> list[Any]:
    """Return the labelled examples."""
    if preprocessor.task is None:
        raise ValueError(
            f"`{method}` on texts needs a model with a task. Received: a model for {preprocessor.description.task}"
        )
    examples = preprocessor.examples(x, y)
    if not examples:
        raise ValueError("`x` must hold at least one text. Received: none")
    missing = [example for example in examples if getattr(example, "label", 0) is None]
    missing += [example for example in examples if getattr(example, "tags", 0) is None]
    missing += [example for example in examples if not getattr(example, "labelled", True)]
    if missing:
        raise ValueError(f"`y` must be given for `{method}`. Received: none for {missing[0].source or missing[0]}")
    return examples


def _held_out(preprocessor: TaskPreprocessor, data: Any, batch_size: int) -> Any:
    """Return the data of an evaluation: `(x, y)`, `(x, y, sample_weight)` or a `tf.data.Dataset`."""
    if is_dataset(data) and not is_encoded_in_pipeline(preprocessor):
        data = items_of_dataset(data, preprocessor)
    if is_dataset(data):
        return encoded_dataset(data, preprocessor, batch_size)
    if not isinstance(data, tuple | list) or not 1 <= len(data) <= 3:
        raise ValueError("`validation_data` must be (x, y), (x, y, sample_weight) or a tf.data.Dataset")
    x, y, weights = (*data, None, None)[:3]
    examples = _labelled(preprocessor, x, y, "evaluate")
    weights = _sample_weights(weights, len(examples))
    rows = preprocessor.encode(examples, training=preprocessor.joins_texts, weights=weights)
    return EncodedBatches(rows, preprocessor.task, batch_size=batch_size)


def _split(examples: list[Any], weights: np.ndarray | None, share: float) -> tuple[list[Any], Any, tuple[Any, ...]]:
    """Return the first examples with their weights, and the last ones, of which there are `share`, as Keras does."""
    first = int(len(examples) * (1.0 - share)) if 0.0 < share < 1.0 else 0
    if not 0 < first < len(examples):
        raise ValueError(
            f"`validation_split` must leave examples on both sides. Received: {share}, of {len(examples)} examples"
        )
    after = None if weights is None else weights[first:]
    return examples[:first], None if weights is None else weights[:first], (examples[first:], None, after)


def _sample_weights(weights: Any, number: int) -> np.ndarray | None:
    """Return the caller's weights, float32 [N]."""
    if weights is None:
        return None
    array = np.asarray(check_number(weights, number, "sample_weight"), np.float32)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError("`sample_weight` must be a finite number for each item of `x`")
    return array


def _weighted(preprocessor: TaskPreprocessor, weights: Mapping[Any, float] | None) -> TaskPreprocessor:
    """Return the preprocessor that gives the classes these weights in training."""
    if weights is None:
        return preprocessor
    found = preprocessor.description
    if preprocessor.task is None or not preprocessor.task.has_classes:
        raise ValueError(f"`class_weight` needs a model with classes. Received: a model for {found.task}")
    by_name = {class_name(name, found.labels, "`class_weight`"): float(weight) for name, weight in weights.items()}
    config = preprocessor.task.config.replace(class_weights=tuple(by_name.get(label, 1.0) for label in found.labels))
    return TaskPreprocessor(found.replace(task_config=config), preprocessor.tokenizer)
