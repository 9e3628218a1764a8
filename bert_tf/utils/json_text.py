"""The writer of all JSON of this package, whose output every language can parse."""

import json
import math
from collections.abc import Mapping
from typing import Any


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Return `value` as JSON, without a newline at its end. A number that is not finite becomes `null` (RFC 8259).

    >>> dumps({"loss": float("nan"), "names": ("a", "ß")})
    '{"loss": null, "names": ["a", "ß"]}'

    Args:
        value: dictionaries, lists, tuples, strings, numbers, booleans and None; NumPy's numbers and arrays too.
        indent: the number of spaces for each level; None for one line.

    Raises:
        TypeError: `value` holds something else.
    """
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False, default=_refuse)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if not isinstance(value, str | int | float | None):
        # NumPy's numbers and arrays, and tensors on the host, without an import of any of them.
        converted = getattr(value, "tolist", None) or getattr(value, "item", None)
        return value if converted is None else _finite(converted())
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def _refuse(value: object) -> None:
    raise TypeError(f"JSON has no form for {type(value).__name__}. Received: {value!r}")
