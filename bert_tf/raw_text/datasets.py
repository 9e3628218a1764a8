"""Datasets of tf.data with strings, which the Python tokenizer encodes, and so exactly as lists are."""

import sys
from typing import Any

import numpy as np

from bert_tf import features
from bert_tf.examples import TaggedExample, TextExample
from bert_tf.raw_text.preprocessor import TaskPreprocessor


def is_dataset(x: Any) -> bool:
    """Return whether `x` is a `tf.data.Dataset`, without importing TensorFlow."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(x, tf.data.Dataset)


def is_encoded_in_pipeline(preprocessor: TaskPreprocessor) -> bool:
    """Return whether datasets are encoded batch by batch: those of texts. Others are read into memory."""
    task = preprocessor.task
    return task is None or task.example_class is TextExample


def items_of_dataset(dataset: Any, preprocessor: TaskPreprocessor) -> tuple[Any, Any, Any]:
    """Return `x`, `y` and the sample weights of a finite dataset, as `fit` takes them in lists.

    Args:
        dataset: elements `x`, `(x, y)` or `(x, y, sample_weight)`, in batches (of ragged tensors where words or answers
            vary in number) or one by one, in the forms that the task takes.
        preprocessor: the model's preprocessor.

    Raises:
        ValueError: the dataset never ends.
    """
    import tensorflow as tf

    if int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise ValueError("a tf.data.Dataset must end, since its texts are read before they are encoded")
    spec = dataset.element_spec
    first = tf.nest.flatten(spec[0] if isinstance(spec, tuple) else spec)[0]
    words = preprocessor.task is not None and preprocessor.task.example_class is TaggedExample
    if first.shape.rank > (1 if words else 0):
        dataset = dataset.unbatch()
    elements = [_in_python(element) for element in dataset.as_numpy_iterator()]
    if not elements:
        raise ValueError("a tf.data.Dataset must have at least one element. Received: an empty one")
    parts = list(zip(*elements, strict=True)) if isinstance(spec, tuple) else [elements]
    x, y, weights = (*parts, None, None)[:3]
    if isinstance(x[0], tuple):
        x = tuple(list(column) for column in zip(*x, strict=True))
    elif isinstance(x[0], dict):
        x = {name: [item[name] for item in x] for name in x[0]}
    else:
        x = list(x)
    return x, None if y is None else list(y), None if weights is None else np.array(weights)


def _in_python(value: Any) -> Any:
    """Return an element of a dataset with strings and numbers of Python."""
    if isinstance(value, dict):
        return {name: _in_python(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_in_python, value))
    if hasattr(value, "to_list"):  # a ragged tensor
        value = value.to_list()
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    if isinstance(value, list):
        return [_in_python(item) for item in value]
    return value.decode("utf-8", errors="ignore") if isinstance(value, bytes) else value


def encoded_dataset(
    dataset: Any, preprocessor: TaskPreprocessor, batch_size: int, *, training: bool = False, inputs_alone: bool = False
) -> Any:
    """Return the dataset with a model's inputs in place of texts.

    Args:
        dataset: elements `x`, `(x, y)` or `(x, y, sample_weight)`, in batches or, if `x` is a scalar, one by one. `x`
            is a text, a tuple or a dictionary of texts, as the task takes them; `y` are classes or numbers.
        preprocessor: the model's preprocessor.
        batch_size: the size of the batches of a dataset without.
        training: whether rows get the weights of training.
        inputs_alone: whether to leave out targets and weights.

    Raises:
        ValueError: the dataset has no labels.
    """
    import tensorflow as tf

    task = preprocessor.task
    spec = dataset.element_spec
    first = spec[0] if isinstance(spec, tuple) else spec
    has_labels = isinstance(spec, tuple) and len(spec) > 1
    if not inputs_alone and not has_labels:
        raise ValueError("the dataset must have elements (texts, labels). Received: texts alone")
    if any(leaf.shape.rank == 0 for leaf in tf.nest.flatten(first)):
        dataset = dataset.batch(batch_size)
    names = tuple(features.encoder_batch(None, None))
    target = None if task is None or inputs_alone else task.target
    weights = None if target is None or task is None else task.target_weights

    def encoded(x_leaves: list[np.ndarray], y: np.ndarray | None, sample_weight: np.ndarray | None) -> dict[str, Any]:
        x = tf.nest.pack_sequence_as(first, [_texts(leaf) for leaf in x_leaves])
        examples = preprocessor.examples(x, None if y is None else y.tolist())
        rows = preprocessor.encode(examples, training=training, weights=sample_weight)
        return rows.batch(np.arange(len(rows)), rows.bucket_length(int(rows.lengths.max(initial=1))))

    def in_graph(*element: Any) -> Any:
        x, y, sample_weight = (*element, None, None)[:3] if isinstance(spec, tuple) else (element[0], None, None)
        leaves = tf.nest.flatten(x)
        rest = [None, None] if inputs_alone else [y, sample_weight]
        given = [tensor for tensor in rest if tensor is not None]
        wanted = [*names, *(name for name in (target, weights) if isinstance(name, str))]
        dtypes = [tf.int32] * len(names)
        if isinstance(target, str):
            dtypes += [tf.int32 if target == "label_ids" else tf.float32, tf.float32]

        def call(*arrays: np.ndarray) -> list[np.ndarray]:
            others = iter(arrays[len(leaves) :])
            labels, sample = (next(others) if tensor is not None else None for tensor in rest)
            batch = encoded(list(arrays[: len(leaves)]), labels, sample)
            return [np.asarray(batch[name]) for name in wanted]

        found = tf.numpy_function(call, [*leaves, *given], dtypes, stateful=False)
        batch = dict(zip(wanted, found, strict=True))
        for name in names:
            batch[name].set_shape([None, None])
        if not isinstance(target, str) or weights is None:
            return batch
        batch[target].set_shape([None, len(preprocessor.description.labels)] if target == "label_targets" else [None])
        batch[weights].set_shape([None])
        return batch, batch[target], batch[weights]

    return dataset.map(in_graph).prefetch(2)


def _texts(leaf: np.ndarray) -> Any:
    return [text.decode("utf-8", errors="ignore") for text in leaf.reshape(-1).tolist()]
