"""The labels of a task: those that are listed, or those that occur, in the order of their ids."""

from collections.abc import Sequence
from typing import Any


def ordered_labels(listed: Sequence[str], occurring: set[str], examples: Sequence[Any], kind: str) -> tuple[str, ...]:
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
