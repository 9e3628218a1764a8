"""A cache of what is computed from strings, bounded in memory."""

from collections.abc import Callable
from typing import TypeVar

# The limits of each cache, about 50 MB. A full cache is emptied: a few pages of text bring the frequent words back.
_MAX_CACHED_STRINGS = 1 << 18
_MAX_CACHED_CHARACTERS = 100

_Value = TypeVar("_Value")


class StringCache(dict[str, _Value]):
    """A dictionary that computes the value of a string when it is first looked up."""

    def __init__(self, compute: Callable[[str], _Value]):
        super().__init__()
        self._compute = compute

    def __missing__(self, key: str) -> _Value:
        value = self._compute(key)
        if len(key) <= _MAX_CACHED_CHARACTERS:
            if len(self) >= _MAX_CACHED_STRINGS:
                self.clear()
            self[key] = value
        return value
