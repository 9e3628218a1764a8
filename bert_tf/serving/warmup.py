"""Warm-up requests, which TensorFlow Serving runs once it has loaded a model, before it serves users.

`assets.extra/tf_serving_warmup_requests` is a TFRecord file of `tensorflow.serving.PredictionLog` messages
(tensorflow/serving, `apis/prediction_log.proto`). They are written field by field, in protobuf's wire format, so that
four small messages do not require the package `tensorflow-serving-api`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from bert_tf.utils import files

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")

# TensorFlow Serving runs at most this many.
_MAX_REQUESTS = 1000

# The field of PredictionLog for each method; in each log the request is field 1.
_LOGS = {"classify": 2, "regress": 3, "predict": 6}


def _field(number: int, value: bytes) -> bytes:
    """Return the bytes of a field that holds a string or a message."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def _model_spec(signature: str) -> bytes:
    """Return a ModelSpec: name = 1, signature_name = 3. The server uses only the signature."""
    return _field(1, b"model") + _field(3, signature.encode())


def predict_log(signature: str, inputs: Mapping[str, tf.Tensor]) -> bytes:
    """Return a PredictionLog of a Predict request.

    Args:
        signature: the signature's name.
        inputs: the signature's inputs by name.
    """
    request = _field(1, _model_spec(signature))
    for name, tensor in inputs.items():
        proto = tf.make_tensor_proto(tensor).SerializeToString()
        request += _field(2, _field(1, name.encode()) + _field(2, proto))  # PredictRequest.inputs, a map
    return _field(_LOGS["predict"], _field(1, request))


def example_log(method: str, signature: str, examples: Sequence[Mapping[str, str]]) -> bytes:
    """Return a PredictionLog of a Classify or Regress request.

    Args:
        method: `classify` or `regress`.
        signature: the signature's name.
        examples: texts by the names of their features.
    """
    example_list = b"".join(_field(1, example_proto(example)) for example in examples)
    request = _field(1, _model_spec(signature)) + _field(2, _field(1, example_list))  # Input.example_list
    return _field(_LOGS[method], _field(1, request))


def example_proto(texts: Mapping[str, str]) -> bytes:
    """Return a serialized `tf.train.Example` of texts by the names of their features."""
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()])) for name, text in texts.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def texts_of_length(names: Sequence[str], word: str, length: int, *, has_mask: bool) -> dict[str, str]:
    """Return texts that together make a row of `length` tokens.

    Args:
        names: names of the signature's inputs. The first text is a word, the last one is long, and others are empty.
        word: a word of one token.
        length: number of tokens in the row, special ones included.
        has_mask: whether one of the tokens is `[MASK]`.
    """
    if len(names) == 1:
        words = [word] * max(length - 2, 1)
        return {names[0]: " ".join(["[MASK]", *words[1:]] if has_mask else words)}
    return dict.fromkeys(names, "") | {names[0]: word, names[-1]: " ".join([word] * max(length - 4, 1))}


def requests(
    text_inputs: Sequence[str],
    examples_method: str,
    *,
    word: str,
    lengths: Sequence[int],
    has_mask: bool,
    number_inputs: Sequence[str] = (),
    list_inputs: Sequence[str] = (),
    signatures: tuple[str, str] = ("serving_default", "examples"),
) -> list[bytes]:
    """Return the warm-up requests of a task: a text for each length, and one example.

    Args:
        text_inputs: names of the inputs of the signature of texts.
        examples_method: `predict`, `classify` or `regress`.
        word: a word of one token.
        lengths: the lengths that rows are padded to.
        has_mask: whether texts need a `[MASK]`.
        number_inputs: names of the inputs of the signature of texts that are numbers.
        list_inputs: those of `text_inputs` that hold several texts for each example.
        signatures: the names of the signatures of texts and of examples.
    """
    logs = []
    of_texts, of_examples = signatures
    numbers = {name: tf.constant([0]) for name in number_inputs}
    for length in lengths[: _MAX_REQUESTS - 1]:
        texts = texts_of_length(text_inputs, word, length, has_mask=has_mask)
        inputs = {name: tf.constant([[text] if name in list_inputs else text]) for name, text in texts.items()}
        inputs |= numbers
        logs.append(predict_log(of_texts, inputs))
    example = texts_of_length(text_inputs, word, lengths[0], has_mask=has_mask)
    if examples_method == "predict":
        logs.append(predict_log(of_examples, {"inputs": tf.constant([example_proto(example)])}))
    else:
        logs.append(example_log(examples_method, of_examples, [example]))
    return logs


def write_requests(folder: str, logs: Sequence[bytes]) -> None:
    """Write the warm-up requests of an export, of which TensorFlow Serving runs at most 1000.

    Args:
        folder: the folder of one version.
        logs: the results of `requests` for all its tasks.
    """
    path = os.path.join(folder, WARMUP_FILE)
    files.make_folder(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        for log in logs[:_MAX_REQUESTS]:
            writer.write(log)


def read_requests(folder: str) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield the warm-up requests of an export: a signature's name, and its inputs by name. There may be none.

    Args:
        folder: the folder of one version.

    Raises:
        ValueError: the file holds something else.
    """
    path = os.path.join(folder, WARMUP_FILE)
    if not files.exists(path):
        return
    for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
        try:
            ((kind, log),) = [(number, value) for number, value in _fields_of(record) if number in _LOGS.values()]
            request = _fields_of(dict(_fields_of(log))[1])
            signature = dict(_fields_of(dict(request)[1])).get(3, b"").decode()
            inputs: dict[str, np.ndarray] = {}
            if kind == _LOGS["predict"]:
                for entry in (dict(_fields_of(value)) for number, value in request if number == 2):
                    proto = tf.make_tensor_proto(0)
                    proto.ParseFromString(entry[2])
                    array = tf.make_ndarray(proto)
                    inputs[entry[1].decode()] = array.astype(object) if array.dtype.kind == "S" else array
            else:
                examples = _fields_of(dict(_fields_of(dict(request)[2]))[1])
                inputs["inputs"] = np.array([example for _, example in examples], object)
        except (KeyError, IndexError, ValueError, TypeError, DecodeError) as error:
            raise ValueError(f"{path}: must hold requests of TensorFlow Serving ({error})") from None
        yield signature, inputs


def _fields_of(message: bytes) -> list[tuple[int, bytes]]:
    """Return the numbers and the bytes of a message's fields that hold strings or messages, in order."""
    found, position = [], 0
    while position < len(message):
        key, position = _read_varint(message, position)
        if key & 7 not in (0, 2):
            raise ValueError(f"a field of wire type {key & 7}")
        value, position = _read_varint(message, position)
        if key & 7 == 2:
            if position + value > len(message):
                raise ValueError("a field that ends too early")
            found.append((key >> 3, message[position : position + value]))
            position += value
    return found


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    """Return a number and the position after it."""
    value = shift = 0
    while True:
        digit = message[position]
        value |= (digit & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if digit < 0x80:
            return value, position
