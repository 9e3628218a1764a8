"""The statement of Sentence Transformers in `config.json` that a classifier of one label is a `CrossEncoder`."""

from collections.abc import Mapping
from typing import Any

from absl import logging

_FIELD, _ACTIVATION = "sentence_transformers", "activation_fn"
_OLD_FIELD = "sbert_ce_default_activation_function"  # before version 4
_ACTIVATIONS = {
    "sigmoid": "torch.nn.modules.activation.Sigmoid",
    "identity": "torch.nn.modules.linear.Identity",
}


def read_activation(values: Mapping[str, Any], source: str) -> str | None:
    """Return the function that makes a score of the logit; None if the values are not those of a `CrossEncoder`.

    A function that is unknown here is taken for the identity, with a warning: functions of rerankers keep the order.

    Args:
        values: the values of `config.json`.
        source: the file, for the warning.
    """
    stated = values.get(_FIELD)
    name = stated.get(_ACTIVATION) if isinstance(stated, Mapping) else values.get(_OLD_FIELD)
    if not isinstance(stated, Mapping) and name is None:
        return None
    last = str(name or "Sigmoid").rpartition(".")[2].lower()
    if last not in _ACTIVATIONS:
        logging.warning("%s: the activation %s is unknown here: scores are the model's outputs", source, name)
        return "identity"
    return last


def stated_activation(activation: str) -> dict[str, Any]:
    """Return the values by which `CrossEncoder` applies an activation of `configs.tasks.ACTIVATIONS`."""
    return {_FIELD: {_ACTIVATION: _ACTIVATIONS[activation]}}
