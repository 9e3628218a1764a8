"""Warm-up requests follow TensorFlow Serving's protos, and make rows of the requested lengths."""

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from small_model import write_vocab
from tensorflow.core.framework import tensor_pb2

from bert_tf.serving import warmup
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

# The fields that TensorFlow Serving's warm-up reads, with their numbers in apis/*.proto.
_MESSAGES = {
    "ModelSpec": [("name", 1, "string"), ("signature_name", 3, "string")],
    "InputsEntry": [("key", 1, "string"), ("value", 2, "bytes")],
    "PredictRequest": [("model_spec", 1, "ModelSpec"), ("inputs", 2, "InputsEntry")],
    "ExampleList": [("examples", 1, "bytes")],
    "Input": [("example_list", 1, "ExampleList")],
    "ClassificationRequest": [("model_spec", 1, "ModelSpec"), ("input", 2, "Input")],
    "PredictLog": [("request", 1, "PredictRequest")],
    "ClassifyLog": [("request", 1, "ClassificationRequest")],
    "RegressLog": [("request", 1, "ClassificationRequest")],
    "PredictionLog": [
        ("classify_log", 2, "ClassifyLog"),
        ("regress_log", 3, "RegressLog"),
        ("predict_log", 6, "PredictLog"),
    ],
}
_REPEATED = {"inputs", "examples"}


def _prediction_log_class():
    file = descriptor_pb2.FileDescriptorProto(name="prediction_log_of_this_test.proto", package="warmup_test")
    types = descriptor_pb2.FieldDescriptorProto
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            field = message.field.add(name=field_name, number=number)
            field.label = types.LABEL_REPEATED if field_name in _REPEATED else types.LABEL_OPTIONAL
            if kind in _MESSAGES:
                field.type, field.type_name = types.TYPE_MESSAGE, f".warmup_test.{kind}"
            else:
                field.type = types.TYPE_STRING if kind == "string" else types.TYPE_BYTES
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("warmup_test.PredictionLog"))


def _read(folder):
    log_class = _prediction_log_class()
    dataset = tf.data.TFRecordDataset(str(folder / warmup.WARMUP_FILE))
    logs = [log_class.FromString(record) for record in dataset.as_numpy_iterator()]
    assert all(log.SerializeToString() for log in logs)
    return logs


def _inputs(request):
    return {entry.key: tf.make_ndarray(tensor_pb2.TensorProto.FromString(entry.value)) for entry in request.inputs}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return WordPieceTokenizer(str(write_vocab(tmp_path_factory.mktemp("vocab") / "vocab.txt")))


@pytest.mark.parametrize("names", [("text",), ("text", "text_pair"), ("question", "context")])
@pytest.mark.parametrize("method", ["predict", "classify", "regress"])
def test_requests_parse_as_protos_and_have_the_lengths(tmp_path, tokenizer, names, method):
    warmup.write_requests(
        str(tmp_path), warmup.requests(names, method, word="boat", lengths=(8, 16, 200), has_mask=False)
    )
    *by_length, by_example = _read(tmp_path)
    lengths = []
    for log in by_length:
        request = log.predict_log.request
        assert request.model_spec.signature_name == "serving_default"
        inputs = _inputs(request)
        assert tuple(inputs) == names
        texts = [np.atleast_1d(inputs[name])[0].decode() for name in names]
        lengths.append(len(tokenizer.encode_pair(*texts)[0]))
    assert lengths == [8, 16, 200]
    log = getattr(by_example, f"{method}_log")
    assert log.request.model_spec.signature_name == "examples"
    if method == "predict":
        proto = np.atleast_1d(_inputs(log.request)["inputs"])[0]
    else:
        (proto,) = log.request.input.example_list.examples
    features = tf.train.Example.FromString(proto).features.feature
    assert sorted(features) == sorted(names)
    assert features[names[0]].bytes_list.value[0].startswith(b"boat")


def test_texts_hold_a_mask_if_the_model_needs_one(tmp_path, tokenizer):
    warmup.write_requests(
        str(tmp_path), warmup.requests(("text",), "predict", word="boat", lengths=(8,), has_mask=True)
    )
    text = np.atleast_1d(_inputs(_read(tmp_path)[0].predict_log.request)["text"])[0].decode()
    ids = tokenizer.encode_pair(text, parse_special_tokens=["[MASK]"])[0]
    assert tokenizer.mask_id in ids
    assert len(ids) == 8


def test_long_messages_are_written_with_their_lengths(tmp_path):
    # Lengths of one, two and three bytes on the wire.
    for length in (3, 100, 20_000):
        warmup.write_requests(
            str(tmp_path / str(length)),
            warmup.requests(("text",), "predict", word="boat", lengths=(length,), has_mask=False),
        )
        text = np.atleast_1d(_inputs(_read(tmp_path / str(length))[0].predict_log.request)["text"])[0]
        assert len(text.split()) == length - 2


@pytest.mark.parametrize("method", ["predict", "classify", "regress"])
def test_requests_are_read_as_they_were_written(tmp_path, method):
    assert list(warmup.read_requests(str(tmp_path))) == []
    warmup.write_requests(
        str(tmp_path), warmup.requests(["question", "context"], method, word="the", lengths=[8, 200], has_mask=False)
    )
    first, second, example = warmup.read_requests(str(tmp_path))
    assert first[0] == second[0] == "serving_default"
    assert second[1]["question"].tolist() == [b"the"]
    assert second[1]["context"].tolist() == [b" ".join([b"the"] * 196)]
    proto = warmup.example_proto({"question": "the", "context": "the the the the"})
    assert (example[0], example[1]["inputs"].tolist()) == ("examples", [proto])


@pytest.mark.parametrize("record", [b"", b"\x32\x05", b"\x32\x02\x0a\x00", b"\x35abcd", b"\x80"])
def test_a_file_of_something_else_is_named(tmp_path, record):
    path = tmp_path / warmup.WARMUP_FILE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(record)
    with pytest.raises(ValueError, match=r"tf_serving_warmup_requests: must hold requests of TensorFlow Serving"):
        list(warmup.read_requests(str(tmp_path)))
