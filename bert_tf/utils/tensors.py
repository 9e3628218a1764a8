"""Arrays as tensors of TensorFlow, for modules that run without it."""

from typing import Any

import numpy as np


def as_tensorflow(array: np.ndarray, row_lengths: np.ndarray | None = None) -> Any:
    """Return an array as a tensor of TensorFlow.

    Args:
        array: the values.
        row_lengths: the lengths of the rows that the first axis is cut into, for a ragged tensor; None for a plain one.

    Raises:
        ImportError: TensorFlow is not installed.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(f"tensors of TensorFlow need it: pip install 'bert_tf[cpu]' ({error})") from error
    return tf.constant(array) if row_lengths is None else tf.RaggedTensor.from_row_lengths(array, row_lengths)
