"""The choice of the weights that a training changes."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from bert_tf.models.weights import named_weights


def trained_weights(model: keras.Model, frozen: Sequence[str]) -> dict[str, Any]:
    """Return the weights that training changes, by name.

    Args:
        model: a model of `bert_tf.models`.
        frozen: regular expressions. A weight is left out if one of them matches the start of its name.

    Raises:
        ValueError: a pattern matches no weight, or no weight is left.
    """
    weights = {name: weight for name, weight in named_weights(model).items() if weight.trainable}
    for pattern in frozen:
        if not any(re.match(pattern, name) for name in weights):
            raise ValueError(
                f"`train.frozen` must match names of weights, such as {next(iter(weights))}. Received: {pattern!r}"
            )
    left = {name: weight for name, weight in weights.items() if not any(re.match(pattern, name) for pattern in frozen)}
    if not left:
        raise ValueError(f"`train.frozen` must leave a weight to train. Received: {', '.join(frozen)}")
    return left


def weights_in(model: keras.Model, weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of some weights, by name, that are weights of `model`."""
    own = {id(weight) for weight in model.weights}
    return {name: weight for name, weight in weights.items() if id(weight) in own}
