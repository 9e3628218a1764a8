"""The signatures of a model for several tasks: those of each task, under its name."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from bert_tf.serving.exported import signature_name
from bert_tf.serving.signatures.base import Signatures


class MultiTaskSignatures(tf.Module):
    """The signatures of several tasks, which share the encoder's weights.

    A task named `ner` has the signatures `ner` (texts, as `serving_default` of an export of this task alone),
    `ner_examples` and `ner_token_ids`. `serving_default` is that of the first task.

    Args:
        parts: the signatures of each task by its name.
    """

    def __init__(self, parts: Mapping[str, Signatures]) -> None:
        super().__init__(name="served")
        self.parts = dict(parts)

    def signatures(self) -> dict[str, Any]:
        """Return the functions to save, keyed by the names of their signatures."""
        found: dict[str, Any] = {}
        for task, part in self.parts.items():
            own = part.signatures()
            found.setdefault("serving_default", own["serving_default"])
            found |= {signature_name(task, name): function for name, function in own.items()}
        return found
