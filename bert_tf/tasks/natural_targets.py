"""Examples with targets as people hold them in a notebook: classes, sets of labels, numbers, tags.

Each function names the item at fault.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bert_tf.examples import TaggedExample, TextExample


def with_classes(examples: list[TextExample], y: Any, labels: Sequence[str]) -> list[TextExample]:
    """Return the examples with a class each. Errors are those of `class_name` and `check_number`.

    Args:
        examples: N examples.
        y: N classes, by name or number; None to leave the examples as they are.
        labels: the names by id.
    """
    if y is None:
        return examples
    classes = [
        class_name(value, labels, f"`y[{number}]`") for number, value in enumerate(check_number(y, len(examples)))
    ]
    return [dataclasses.replace(example, label=name) for example, name in zip(examples, classes, strict=True)]


def with_label_sets(examples: list[TextExample], y: Any, labels: Sequence[str]) -> list[TextExample]:
    """Return the examples with any number of labels each.

    Args:
        examples: N examples.
        y: for each example a list of labels, by name; or 0 and 1 for each label, [N, C]. None to leave the examples as
            they are.
        labels: the C names by id.

    Raises:
        ValueError: an item is neither, or the numbers differ.
    """
    if y is None:
        return examples
    sets = []
    for number, given in enumerate(check_number(y, len(examples))):
        where = f"`y[{number}]`"
        if isinstance(given, str | bytes) or not isinstance(given, list | tuple | set | frozenset):
            raise ValueError(f"{where} must be a list of labels, or of 0 and 1. Received: {given!r:.100}")
        items = list(given)
        if items and not any(isinstance(item, str | bytes) for item in items):
            if len(items) != len(labels) or not all(item in (0, 1) for item in items):
                raise ValueError(f"{where} must be 0 or 1 for each of {len(labels)} labels. Received: {given!r:.100}")
            sets.append(tuple(label for label, item in zip(labels, items, strict=True) if item))
        else:
            sets.append(tuple(class_name(item, labels, where) for item in items))
    return [dataclasses.replace(example, label=names) for example, names in zip(examples, sets, strict=True)]


def with_numbers(examples: list[TextExample], y: Any) -> list[TextExample]:
    """Return the examples with a number each.

    Raises:
        ValueError: an item of `y` is not a finite number, or the numbers of examples differ.
    """
    if y is None:
        return examples
    numbers = check_number(y, len(examples))
    for number, value in enumerate(numbers):
        if isinstance(value, bool | str) or not isinstance(value, int | float | np.number) or not math.isfinite(value):
            raise ValueError(f"`y[{number}]` must be a finite number. Received: {value!r:.100}")
    return [dataclasses.replace(example, label=float(value)) for example, value in zip(examples, numbers, strict=True)]


def with_tags(examples: list[TaggedExample], y: Any, labels: Sequence[str]) -> list[TaggedExample]:
    """Return the examples with a tag for each word.

    Args:
        examples: N examples.
        y: for each example a list of tags, by name or number; None to leave the examples as they are.
        labels: the names by id.

    Raises:
        ValueError: an item is not a list of tags, or their number is not that of the words.
    """
    if y is None:
        return examples
    tagged = []
    for number, (example, given) in enumerate(zip(examples, check_number(y, len(examples)), strict=True)):
        if isinstance(given, str | bytes) or not hasattr(given, "__len__"):
            raise ValueError(f"`y[{number}]` must be a list of tags. Received: {given!r:.100}")
        if len(given) != len(example.word_offsets):
            raise ValueError(
                f"`y[{number}]` must have a tag for each of {len(example.word_offsets)} words. Received: {len(given)}"
            )
        tags = tuple(class_name(tag, labels, f"`y[{number}][{place}]`") for place, tag in enumerate(given))
        tagged.append(dataclasses.replace(example, tags=tags))
    return tagged


def class_name(value: Any, labels: Sequence[str], where: str) -> str:
    """Return the name of a class that is given by its name or its id.

    Args:
        value: a name, or an integer.
        labels: the names by id.
        where: the item, for messages.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if isinstance(value, bool | np.bool_) and str(value) in labels:
        return str(value)
    if isinstance(value, str) and value in labels:
        return value
    whole = isinstance(value, int | np.integer | bool | np.bool_) or (
        isinstance(value, float | np.floating) and float(value).is_integer()
    )
    if whole and 0 <= int(value) < len(labels):
        return labels[int(value)]
    raise ValueError(
        f"{where} must be a class ({', '.join(labels[:20])}{', ...' if len(labels) > 20 else ''}) or its number, 0 to "
        f"{len(labels) - 1}. Received: {value!r:.100}"
    )


def check_number(y: Any, number: int, name: str = "y") -> list[Any]:
    """Return the targets as a list.

    Args:
        y: targets: a list, an array or the column of a table.
        number: the number of inputs.
        name: the argument's name, for messages.

    Raises:
        ValueError: there is another number of targets than of inputs.
    """
    if isinstance(y, str | bytes | Mapping) or not hasattr(y, "__len__"):
        raise ValueError(f"`{name}` must be a list with an item for each of `x`. Received: {y!r:.100}")
    if len(y) != number:
        raise ValueError(f"`{name}` must have as many items as `x`, {number}. Received: {len(y)}")
    return np.asarray(y).tolist() if hasattr(y, "shape") else list(y)
