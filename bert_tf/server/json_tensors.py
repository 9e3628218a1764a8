"""The JSON of Predict requests and answers, by the rules of TensorFlow Serving's REST interface.

The rules are those of its page `g3doc/api_rest.md` and of `util/json_tensor.cc`. Where the latter is more lenient than
JSON (bytes that are not UTF-8), the request is refused.
"""

import base64
import binascii
import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bert_tf.server.errors import invalid, shortened
from bert_tf.utils import json_text

_MAX_RANK = 16

_INTEGERS: dict[str, Any] = {
    "DT_INT8": np.int32,
    "DT_UINT8": np.int32,
    "DT_INT16": np.int32,
    "DT_INT32": np.int32,
    "DT_UINT32": np.uint32,
    "DT_INT64": np.int64,
    "DT_UINT64": np.uint64,
}
"""The range that a number must be in. As there, those of the smaller types are read as int32."""

_NUMPY = {name: np.dtype(name.removeprefix("DT_").lower()) for name in _INTEGERS} | {
    "DT_FLOAT": np.dtype(np.float32),
    "DT_DOUBLE": np.dtype(np.float64),
    "DT_BOOL": np.dtype(bool),
    "DT_STRING": np.dtype(object),
}


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """An input or output of a signature.

    Attributes:
        dtype: the name of its type, such as `DT_STRING`.
        shape: the size of each axis, None where any is allowed; None for any number of axes.
    """

    dtype: str
    shape: tuple[int | None, ...] | None


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a request's body. `NaN`, `Infinity` and `-Infinity` are numbers.

    Raises:
        RequestError: the body is not UTF-8, not JSON or not an object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_float=_parse_float)
    except UnicodeDecodeError as error:
        raise invalid(f"JSON Parse error: Invalid encoding in string at offset: {error.start}") from None
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except RecursionError:
        raise invalid("JSON Parse error: The document is nested too deeply") from None
    except ValueError as error:  # a number of more digits than Python reads
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(value, dict):
        raise invalid(f"JSON Value: {shortened(value)} Is not object")
    return value


def _parse_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("Number too big to be stored in double")
    return number


def signature_name(request: Mapping[str, Any]) -> str:
    """Return the name of the signature that a request asks for, "" for the default one."""
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(f"'signature_name' key must be a string value. Received: {shortened(name)}")
    return name


def predict_inputs(request: Mapping[str, Any], infos: Mapping[str, TensorInfo]) -> tuple[dict[str, np.ndarray], bool]:
    """Return the inputs of a Predict request.

    Args:
        request: the object of the body.
        infos: the inputs of the signature.

    Returns:
        The arrays by name, strings as objects of type `bytes`; and whether they came in row format (`instances`).

    Raises:
        RequestError: the request does not fit the inputs.
    """
    if "instances" in request and "inputs" in request:
        raise invalid("Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist")
    if "instances" in request:
        return _from_rows(request["instances"], infos), True
    if "inputs" in request:
        return _from_columns(request["inputs"], infos), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _from_rows(rows: Any, infos: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    if not isinstance(rows, list):
        raise invalid(f"Expecting 'instances' to be a list/array. Received: {shortened(rows)}")
    if not rows:
        raise invalid("No values in 'instances' array")
    named = _is_object(rows[0])
    if not named and len(infos) > 1:
        raise invalid(f"instances is a plain list, but must hold objects with the inputs {_listed(infos)}")
    columns: dict[str, list[Any]] = {name: [] for name in infos}
    for number, row in enumerate(rows):
        if _is_object(row) != named:
            kinds = ("object", "value/list") if named else ("value/list", "object")
            raise invalid(f"Expecting {kinds[0]} but got {kinds[1]} at item {number} of input list")
        if named and row.keys() != infos.keys():
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: keys must be equal to: "
                f"{_listed(infos)}. Received: {shortened(sorted(row))}"
            )
        for name, column in columns.items():
            column.append(row[name] if named else row)
    return {name: dense(column, infos[name].dtype, name) for name, column in columns.items()}


def _from_columns(columns: Any, infos: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    if _is_object(columns):
        for name in infos:
            if name not in columns:
                raise invalid(f"Missing named input: {name} in 'inputs' object.")
        return {name: dense(columns[name], info.dtype, name) for name, info in infos.items()}
    if len(infos) > 1:
        raise invalid(f"inputs is a plain value/list, but must be an object with the inputs {_listed(infos)}")
    return {name: dense(columns, info.dtype, name) for name, info in infos.items()}


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def is_base64(value: Any) -> bool:
    """Return whether a value is an object that holds bytes, `{"b64": "..."}`."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def decode_base64(value: Mapping[str, str]) -> bytes:
    """Return the bytes of `{"b64": "..."}`, with or without padding.

    Raises:
        RequestError: the text is not base64.
    """
    text = "".join(value["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid(f"Unable to base64 decode. Received: {shortened(value['b64'])}") from None


def encode_text(text: str) -> bytes:
    """Return the UTF-8 of a string of JSON.

    Raises:
        RequestError: it holds one half of a surrogate pair.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None


def dense(value: Any, dtype: str, name: str) -> np.ndarray:
    """Return the array of a value, or of lists of values in lists.

    Args:
        value: a value of JSON.
        dtype: the type of the input.
        name: the name of the input, for messages.

    Raises:
        RequestError: lists of one level differ in length, a value has another type, or lists are nested too deeply.
    """
    if dtype not in _NUMPY:
        raise invalid(f"Input '{name}' has the type {dtype}, which JSON cannot hold.")
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        if len(shape) == _MAX_RANK:
            raise invalid(f"Input '{name}' must have at most {_MAX_RANK} levels of lists.")
        shape.append(len(first))
        if not first:
            break
        first = first[0]
    leaves = [value]
    for level, size in enumerate(shape):
        items: list[Any] = []
        for item in leaves:
            if not isinstance(item, list):
                raise invalid(f"Input '{name}': expecting a list at level {level + 1}. Received: {shortened(item)}")
            if len(item) != size:
                raise invalid(f"Input '{name}': expecting tensor size: {size} but got: {len(item)}")
            items += item
        leaves = items
    for leaf in leaves:
        if isinstance(leaf, list):
            raise invalid(f"Input '{name}': expecting a value at level {len(shape) + 1}. Received: {shortened(leaf)}")
    return _array(leaves, dtype, name).reshape(shape)


def _array(leaves: list[Any], dtype: str, name: str) -> np.ndarray:
    """Return the array [number of leaves] of values of JSON."""
    if dtype == "DT_STRING":
        strings = np.empty(len(leaves), object)
        for index, leaf in enumerate(leaves):
            if isinstance(leaf, str):
                strings[index] = encode_text(leaf)
            elif is_base64(leaf):
                strings[index] = decode_base64(leaf)
            else:
                raise _type_error(leaf, dtype, name)
        return strings
    least, most = (np.iinfo(_INTEGERS[dtype]).min, np.iinfo(_INTEGERS[dtype]).max) if dtype in _INTEGERS else (0, 0)
    for leaf in leaves:
        if dtype == "DT_BOOL":
            fits = isinstance(leaf, bool)
        elif dtype in _INTEGERS:
            fits = type(leaf) is int and least <= leaf <= most
        else:
            fits = type(leaf) in (int, float)
            if fits and not is_lossless(leaf, _NUMPY[dtype]):
                raise invalid(
                    f"Cannot convert JSON value: {shortened(leaf)} to {_NUMPY[dtype]} without loss of precision."
                )
        if not fits:
            raise _type_error(leaf, dtype, name)
    # A number that fits int32 may not fit the smaller types, which wrap around.
    return np.array(leaves, _INTEGERS.get(dtype, _NUMPY[dtype])).astype(_NUMPY[dtype])


def is_lossless(number: float, dtype: np.dtype) -> bool:
    """Return whether a number can be one of a floating type: whole ones exactly, others within its range."""
    if isinstance(number, int):
        return abs(number) < 2 ** (np.finfo(dtype).nmant + 1)
    return not math.isfinite(number) or abs(number) <= float(np.finfo(dtype).max)


def _type_error(value: Any, dtype: str, name: str) -> Exception:
    return invalid(f"JSON Value: {shortened(value)} of input '{name}' is not of expected type: {dtype}")


def _listed(names: Iterable[str]) -> str:
    return ",".join(sorted(names))


def predict_answer(outputs: Mapping[str, np.ndarray], in_rows: bool) -> bytes:
    """Return the body of the answer to a Predict request.

    Args:
        outputs: the arrays by name, strings as objects of type `bytes`.
        in_rows: whether the request came in row format.

    Raises:
        RequestError: in row format, an output has no axes, or the first axes differ in size.
    """
    if not in_rows:
        columns = {name: _text(array, name) for name, array in sorted(outputs.items())}
        return _enclosed("outputs", columns.popitem()[1] if len(columns) == 1 else _object(columns))
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information")
    if len({len(array) for array in outputs.values()}) > 1:
        sizes = ", ".join(f"{name}: {len(array)}" for name, array in sorted(outputs.items()))
        raise invalid(f"The outputs have inconsistent batch sizes, so that rows cannot hold them. Received: {sizes}")
    rows_of = {name: _rows(array, name) for name, array in sorted(outputs.items())}
    if len(rows_of) == 1:
        rows = next(iter(rows_of.values()))
    else:
        rows = [_object(dict(zip(rows_of, row, strict=True))) for row in zip(*rows_of.values(), strict=True)]
    return _enclosed("predictions", f"[{', '.join(rows)}]")


def _object(members: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{json_text.dumps(name)}: {text}" for name, text in members.items()) + "}"


def _enclosed(name: str, text: str) -> bytes:
    return f'{{"{name}": {text}}}'.encode()


def _text(array: np.ndarray, name: str) -> str:
    """Return the JSON of an output: a value, or lists in lists."""
    return _nested(texts_of(array, as_bytes=name.endswith("_bytes")), array.shape)


def _rows(array: np.ndarray, name: str) -> list[str]:
    """Return the JSON of each row of an output."""
    texts, size = texts_of(array, as_bytes=name.endswith("_bytes")), math.prod(array.shape[1:])
    return [_nested(texts[row * size : (row + 1) * size], array.shape[1:]) for row in range(len(array))]


def _nested(texts: list[str], shape: tuple[int, ...]) -> str:
    if not shape:
        return texts[0]
    if len(shape) > 1:
        size = math.prod(shape[1:])
        texts = [_nested(texts[row * size : (row + 1) * size], shape[1:]) for row in range(shape[0])]
    return f"[{', '.join(texts)}]"


def texts_of(array: np.ndarray, *, as_bytes: bool = False) -> list[str]:
    """Return the JSON of each value: numbers in their shortest exact form, strings as text.

    Args:
        array: values of any shape.
        as_bytes: whether strings become `{"b64": "..."}`, as those of outputs whose name ends in `_bytes` do.
    """
    flat = array.reshape(-1)
    if array.dtype == object:
        if as_bytes:
            return [f'{{"b64": "{base64.b64encode(value).decode()}"}}' for value in flat]
        return [json_text.dumps(value.decode(errors="replace")) for value in flat]
    if array.dtype == bool:
        return ["true" if value else "false" for value in flat]
    if np.issubdtype(array.dtype, np.integer):
        return [str(value) for value in flat.tolist()]
    if array.dtype not in (np.float32, np.float64):  # half precision
        flat = flat.astype(np.float32)
    texts = flat.astype("U32").tolist()
    if not np.isfinite(flat).all():
        names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
        texts = [names.get(text, text) for text in texts]
    return texts
