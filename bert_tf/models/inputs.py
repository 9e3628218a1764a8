"""The inputs of a model, in the forms and under the names that people have them.

Shapes: B batch, L length.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from bert_tf.features import BATCH_NAMES, ID_NAMES, INPUT_ALIASES, ORDER, Batch, Tensor, encoder_batch


def model_inputs(inputs: Any, required: Iterable[str] = ("input_ids",)) -> Batch:
    """Return a model's inputs by the names of `bert_tf.features`.

    Args:
        inputs: a dictionary; or `input_ids` alone; or a list of `input_ids`, `input_mask` and `segment_ids`, of which
            the last may be missing. A dictionary may use the names of `features.INPUT_ALIASES`, and labels may stand
            beside the inputs. Nested lists of numbers are taken for arrays, and None for an input that is not given.
        required: names of the inputs that must be there.

    Returns:
        The tensors by name. `input_ids`, `input_mask`, `segment_ids`, `position_ids` and `order` hold integers, [B, L].

    Raises:
        ValueError: a name is unknown or given twice, a required input is missing, or a tensor has a wrong shape or
            dtype.
    """
    given = _named(inputs) if isinstance(inputs, Mapping) else _listed(inputs)
    for name in required:
        if name not in given:
            raise ValueError(f"`inputs` must have `{name}`. Received: {', '.join(sorted(given)) or 'no inputs'}")
    batch = {name: _as_tensor(tensor) for name, tensor in given.items()}
    for name in (encoder_batch(None, None).keys() | {ORDER}) & batch.keys():
        batch[name] = _integers(name, batch[name])
        _check_shape(name, batch[name], batch["input_ids"])
    return batch


def _named(inputs: Mapping[str, Any]) -> Batch:
    """Return a dictionary's tensors by this project's names."""
    named: Batch = {}
    for key, tensor in inputs.items():
        name = INPUT_ALIASES.get(key, key)
        if name not in BATCH_NAMES:
            raise ValueError(_unknown_name(key))
        if tensor is None:
            continue
        if name in named:
            both = ", ".join(repr(other) for other in inputs if INPUT_ALIASES.get(other, other) == name)
            raise ValueError(f"`inputs` must have `{name}` once. Received: {both}")
        named[name] = tensor
    return named


def _unknown_name(name: str) -> str:
    """Return a message that lists the known names, the likeliest first."""
    known = sorted({*BATCH_NAMES, *INPUT_ALIASES})
    close = difflib.get_close_matches(str(name), known, 1)
    hint = f" (do you mean {close[0]!r}?)" if close else ""
    return f"the names of `inputs` must be among {', '.join(known)}. Received: {name!r}{hint}"


def _listed(inputs: Any) -> Batch:
    """Return the tensors of `input_ids` alone or of a list of inputs by name."""
    if not isinstance(inputs, Sequence) or isinstance(inputs, str):
        return {"input_ids": inputs}
    if not inputs:
        raise ValueError("`inputs` must hold at least `input_ids`. Received: an empty list")
    if _rank(inputs[0]) < 2:  # a row of numbers
        return {"input_ids": inputs}
    if len(inputs) > len(ID_NAMES):
        raise ValueError(f"a list of inputs must be {', '.join(ID_NAMES)}. Received: {len(inputs)} tensors")
    return dict(zip(ID_NAMES, inputs, strict=False))


def _rank(tensor: Any) -> int:
    """Return the number of axes of a tensor, or of nested lists by their first elements."""
    if hasattr(tensor, "shape"):
        return len(tensor.shape)
    return 1 + (_rank(tensor[0]) if tensor else 0) if isinstance(tensor, Sequence) else 0


def _as_tensor(value: Any) -> Tensor:
    """Return tensors as they are, and arrays and nested lists of numbers as tensors."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return value
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(
            "the rows of an input must have one length (pad them; `input_mask` is 0 on padding). "
            f"Received: rows of {', '.join(str(len(row)) for row in list(value)[:8])} numbers"
        ) from None


def _integers(name: str, tensor: Tensor) -> Tensor:
    """Return a tensor of integers, and a mask of booleans as integers."""
    dtype = str(getattr(tensor.dtype, "name", tensor.dtype))
    if dtype == "bool" and name == "input_mask":
        return ops.cast(tensor, "int32")
    if "int" not in dtype:
        raise ValueError(f'`{name}` must hold integers (`keras.Input` takes `dtype="int32"`). Received: dtype {dtype}')
    return tensor


def _check_shape(name: str, tensor: Tensor, input_ids: Tensor) -> None:
    """Raise a ValueError if a tensor's shape is not [B, L], as far as it is known."""
    shape = tuple(tensor.shape)
    if len(shape) != 2:
        raise ValueError(f"`{name}` must have the shape [B, L]. Received: {list(shape)}")
    expected = tuple(input_ids.shape)
    if any(None not in pair and len(set(pair)) > 1 for pair in zip(shape, expected, strict=True)):
        raise ValueError(f"`{name}` must have the shape of `input_ids`, {list(expected)}. Received: {list(shape)}")
