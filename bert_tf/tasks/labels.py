"""The labels of a task: those that are listed, or those that occur, in the order of their ids."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class _HasClassWeights(Protocol):
    """The settings of `class_weights`."""

    @property
    def class_weights(self) -> tuple[float, ...]: ...

    @property
    def balanced_classes(self) -> bool: ...


def ordered_labels(
    listed: Sequence[str], occurring: set[str], examples: Sequence[Any], *, kind: str
) -> tuple[str, ...]:
    """Return the labels: label id i is the i-th.

    Args:
        listed: the labels that the task's configuration lists; empty for those that occur.
        occurring: the labels of the examples.
        examples: the examples, for the message.
        kind: what a label is called in the message, such as `tags`.

    Returns:
        `listed`; or those that occur, sorted: by their value if all are whole numbers, else as texts.

    Raises:
        ValueError: fewer than two labels occur, so that nothing can be learnt.
    """
    if len(occurring) < 2:
        source = examples[0].source if examples else "no examples"
        raise ValueError(
            f"the training examples ({source} ...) must have at least two {kind}. Received: {sorted(occurring)!r}"
        )
    if listed:
        return tuple(listed)
    numbers = all(name.isdecimal() and name.isascii() for name in occurring)
    return tuple(sorted(occurring, key=lambda name: (int(name), name) if numbers else name))


def class_weights(
    config: _HasClassWeights, labels: Sequence[str], counts: np.ndarray, *, positive_of: int | None = None
) -> np.ndarray:
    """Return the weight of each class in training, float32 [C].

    Args:
        config: the settings of the task.
        labels: the C labels.
        counts: the number of times that each label occurs in training, [C].
        positive_of: the number of examples, where each may have any number of labels. A label's balanced weight is then
            that of its presence against its absence.

    Raises:
        ValueError: the configuration has another number of weights.
    """
    given = config.class_weights
    if given:
        if len(given) != len(labels):
            raise ValueError(
                f"`task.class_weights` must have a weight for each of the {len(labels)} labels "
                f"({', '.join(labels)}). Received: {given!r}"
            )
        return np.array(given, np.float32)
    if not config.balanced_classes:
        return np.ones(len(labels), np.float32)
    if positive_of is not None:
        return np.where(counts > 0, (positive_of - counts) / np.maximum(counts, 1), 1.0).astype(np.float32)
    return (counts.sum() / (len(labels) * np.maximum(counts, 1))).astype(np.float32)
