"""The JSON of Classify and Regress requests and answers, by the rules of TensorFlow Serving's REST interface."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_tf.server.errors import invalid, shortened
from bert_tf.server.example_sizes import check_context
from bert_tf.server.json_tensors import decode_base64, encode_text, is_base64, is_lossless, texts_of

if TYPE_CHECKING:
    import tensorflow as tf


def examples(request: Mapping[str, Any], max_bytes: int) -> np.ndarray:
    """Return the serialized `tf.train.Example`s of a request, objects of type `bytes` [B].

    The features of `context` are those of every example.

    Args:
        request: the request.
        max_bytes: the largest number of bytes of a request that repeats the context for each example.

    Raises:
        RequestError: there are no examples, a feature holds what an example cannot hold, or the context is too large.
    """
    context = _features(request["context"]) if "context" in request else {}
    if "examples" not in request:
        raise invalid("key 'examples' is expected and was not found")
    given = request["examples"]
    if not isinstance(given, list):
        raise invalid(f"Expecting 'examples' value to be a list/array. Received: {shortened(given)}")
    if not given:
        raise invalid("'examples' value is an empty array")
    import tensorflow as tf

    check_context(tf.train.Features(feature=context).ByteSize(), len(given), max_bytes)
    protos = np.empty(len(given), object)
    for index, example in enumerate(given):
        features = tf.train.Features(feature=context | _features(example))
        protos[index] = tf.train.Example(features=features).SerializeToString()
    return protos


def _features(example: Any) -> "dict[str, tf.train.Feature]":
    if not isinstance(example, dict):
        raise invalid(f"Example must be JSON object. Received: {shortened(example)}")
    return {name: _feature(value if isinstance(value, list) else [value], name) for name, value in example.items()}


def _feature(values: Sequence[Any], name: str) -> "tf.train.Feature":
    import tensorflow as tf

    encode_text(name)  # the name of a feature is UTF-8 too
    found = [_value(value, name) for value in values]
    kinds = {type(value) for value in found}
    if len(kinds) > 1:
        raise invalid(f"Unexpected element type in feature: {name}, which must hold values of one type")
    if bytes in kinds:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=found))
    if float in kinds:
        return tf.train.Feature(float_list=tf.train.FloatList(value=found))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=found)) if found else tf.train.Feature()


def _value(value: Any, name: str) -> bytes | float | int:
    if isinstance(value, str):
        return encode_text(value)
    if is_base64(value):
        return decode_base64(value)
    if isinstance(value, int):  # true and false, too
        if not -(2**63) <= value < 2**63:
            raise invalid(f"Feature: {name} has a number beyond int64. Only int64 is supported.")
        return int(value)
    if isinstance(value, float):
        if not is_lossless(value, np.dtype(np.float32)):
            raise invalid(f"Cannot convert JSON value: {shortened(value)} to float without loss of precision.")
        return value
    raise invalid(f"Feature: {name} has element with unexpected JSON type. Received: {shortened(value)}")


def classify_answer(outputs: Mapping[str, np.ndarray]) -> bytes:
    """Return the body of the answer to a Classify request: for each example, pairs of a class and its score.

    Args:
        outputs: `classes`, bytes [B, C], and `scores`, float32 [B, C], or one of them.
    """
    classes, scores = outputs.get("classes"), outputs.get("scores")
    array = scores if scores is not None else classes
    assert array is not None
    names = ['""'] * array.size if classes is None else texts_of(classes)
    numbers = ["0.0"] * array.size if scores is None else texts_of(scores)
    pairs = [f"[{name}, {number}]" for name, number in zip(names, numbers, strict=True)]
    return _results(f"[{', '.join(pairs[start : start + array.shape[1]])}]" for start in _starts(array))


def _starts(array: np.ndarray) -> range:
    return range(0, array.size, max(array.shape[1], 1))


def regress_answer(outputs: Mapping[str, np.ndarray]) -> bytes:
    """Return the body of the answer to a Regress request: a number for each example.

    Args:
        outputs: `outputs`, float32 [B] or [B, 1].
    """
    return _results(texts_of(outputs["outputs"]))


def _results(texts: Any) -> bytes:
    return f'{{"results": [{", ".join(texts)}]}}'.encode()
