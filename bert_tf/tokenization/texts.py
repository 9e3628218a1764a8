"""The texts that people give to a tokenizer: one, or many in a list, an array or the column of a table."""

from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np


def decoded(text: str | bytes) -> str:
    """Return a text as a string. Bytes are UTF-8, and invalid bytes are dropped."""
    return text.decode("utf-8", errors="ignore") if isinstance(text, bytes) else text


def list_of_texts(name: str, texts: Any) -> list[str]:
    """Return the texts that a function was given as its argument `name`.

    Args:
        name: the argument's name, for messages.
        texts: one text, or a list, tuple, array, column of a table, or eager tensor of texts. A text is a string, or
            bytes in UTF-8, whose invalid bytes are dropped.

    Raises:
        ValueError: an item is not a text, such as None or the NaN of an empty cell; or `texts` is a table, a set, a
            dictionary or a symbolic tensor, or has several axes.
    """
    if isinstance(texts, str | bytes):
        return [decoded(texts)]
    if isinstance(texts, Mapping | Set) or hasattr(texts, "columns") or not isinstance(texts, Iterable):
        raise ValueError(
            f"`{name}` must be a text or a list of texts. Received: a {type(texts).__name__}, {texts!r:.100}"
        )
    if type(texts).__module__.startswith("tensorflow.") and not hasattr(texts, "numpy"):
        raise ValueError(
            f"`{name}` must be texts that are known now: a `bert_tf.Preprocessor` takes the tensors of a graph or of "
            f"tf.data. Received: {texts!r:.200}"
        )
    if hasattr(texts, "shape"):
        texts = np.asarray(texts)
        if texts.ndim > 1:
            raise ValueError(f"`{name}` must have one axis. Received: the shape {list(texts.shape)}")
        texts = texts.reshape(-1).tolist()
    items = list(texts)
    for number, item in enumerate(items):
        if not isinstance(item, str | bytes):
            hint = " (the second texts of pairs are an argument of their own)" if isinstance(item, list | tuple) else ""
            raise ValueError(f"`{name}[{number}]` must be a text{hint}. Received: {item!r:.100}")
    return [decoded(item) for item in items]


def list_of_pairs(texts: Any, pairs: Any) -> tuple[list[str], list[str] | None]:
    """Return first and second texts; None for the second ones if `pairs` is None.

    Args:
        texts: the argument `texts`, see `list_of_texts`.
        pairs: the argument `pairs`, the second text of each pair.

    Raises:
        ValueError: an item is not a text, or the numbers differ.
    """
    first = list_of_texts("texts", texts)
    if pairs is None:
        return first, None
    second = list_of_texts("pairs", pairs)
    if len(first) != len(second):
        raise ValueError(f"`pairs` must be as many as `texts`, {len(first)}. Received: {len(second)}")
    return first, second
