"""The number and the lengths of the texts in serialized `tf.train.Example`s, whatever protocol they came by."""

import contextlib
from typing import NamedTuple

import numpy as np

from bert_tf.server.errors import TOO_LARGE, RequestError

INPUT = "inputs"
"""The only input of a signature that takes serialized examples."""


def check_context(size: int, number: int, max_bytes: int) -> None:
    """Check that a request does not grow beyond the limit when each example is given the features of the context.

    Args:
        size: the number of bytes of the context.
        number: the number of examples.
        max_bytes: the largest number of bytes of a request.

    Raises:
        RequestError: it does.
    """
    if size * number > max_bytes:
        raise RequestError(
            TOO_LARGE,
            f"A request must hold at most {max_bytes} bytes, with a copy of its 'context' for each example. "
            f"Received: {size * number}",
        )


class FeatureSize(NamedTuple):
    """The size of a feature of a request's examples.

    Attributes:
        texts: the number of texts that the model computes: lists are filled up to the longest one of the request.
        longest: the number of bytes of its longest text.
    """

    texts: int
    longest: int


def feature_sizes(protos: np.ndarray) -> dict[str, FeatureSize]:
    """Return the size of each feature that holds texts, by its name.

    `inputs` stands for the examples themselves: as many texts as there are examples, and as long as the longest one
    that has no features, or is no serialized example at all.

    Args:
        protos: the serialized examples, objects of type `bytes` of any shape.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    longest_list: dict[str, int] = {}
    longest_text = {INPUT: 0}
    for proto in protos.reshape(-1):
        features = {}
        with contextlib.suppress(DecodeError):
            features = tf.train.Example.FromString(proto).features.feature
        if not features:
            longest_text[INPUT] = max(longest_text[INPUT], len(proto))
        for name, feature in features.items():
            texts = feature.bytes_list.value
            if texts:
                longest_list[name] = max(longest_list.get(name, 0), len(texts))
                longest_text[name] = max(longest_text.get(name, 0), *map(len, texts))
    counts = {INPUT: protos.size} | {name: protos.size * size for name, size in longest_list.items()}
    return {name: FeatureSize(counts[name], longest_text[name]) for name in counts}
