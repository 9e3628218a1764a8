"""A bad request gets the same error by HTTP and by gRPC: the same words, and the code that the status stands for."""

import base64

import numpy as np
import pytest
import tensorflow as tf
from small_grpc import Services, error_of, message
from small_server import ask, serving_both, write_version

from bert_tf.server.models import ServedModel

apis = pytest.importorskip("tensorflow_serving.apis")

from tensorflow_serving.apis import (  # noqa: E402
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

CODES = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 413: "INVALID_ARGUMENT"}


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    write_version(folder, 1)
    limits = {"max_texts": 8, "max_characters": 100, "max_request_bytes": 20_000}
    with serving_both(ServedModel("graph", str(folder), {"stable": 1}), **limits) as (url, grpc_url):
        services = Services(grpc_url)
        yield url, services
        services.channel.close()


def example(**features):
    """Return a `tf.train.Example` whose features hold texts."""
    found = {}
    for name, texts in features.items():
        values = [text.encode() for text in ([texts] if isinstance(texts, str) else texts)]
        found[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    return tf.train.Example(features=tf.train.Features(feature=found))


def serialized(*examples):
    return [each if isinstance(each, bytes) else each.SerializeToString() for each in examples]


def as_json(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return [as_json(each) for each in value] if isinstance(value, list) else value


def errors_of_predict(url, services, path="graph", signature="serving_default", **inputs):
    body = {"signature_name": signature, "inputs": {name: as_json(value) for name, value in inputs.items()}}
    answer = ask(f"{url}/v1/models/{path}:predict", body)
    request = message(predict_pb2.PredictRequest, spec(path, signature))
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return answer, error_of(services.prediction.Predict, request)


def errors_of_examples(url, services, examples, *, context=None, verb="classify", path="graph", signature="classes"):
    body = {"signature_name": signature, "examples": examples} | ({} if context is None else {"context": context})
    answer = ask(f"{url}/v1/models/{path}:{verb}", body)
    kinds = {"classify": classification_pb2.ClassificationRequest, "regress": regression_pb2.RegressionRequest}
    request = message(kinds[verb], spec(path, signature))
    given = request.input.example_list if context is None else request.input.example_list_with_context
    given.examples.extend(example(**each) for each in examples)
    if context is not None:
        given.context.CopyFrom(example(**context))
    return answer, error_of(getattr(services.prediction, verb.capitalize()), request)


def errors_of_metadata(url, services, path):
    request = message(get_model_metadata_pb2.GetModelMetadataRequest, spec(path) + ' metadata_field: "signature_def"')
    return ask(f"{url}/v1/models/{path}/metadata"), error_of(services.prediction.GetModelMetadata, request)


def errors_of_status(url, services, path):
    request = message(get_model_status_pb2.GetModelStatusRequest, spec(path))
    return ask(f"{url}/v1/models/{path}"), error_of(services.model.GetModelStatus, request)


def spec(path, signature=""):
    """Return the `model_spec` of a path such as `graph/labels/stable`."""
    name, kind, choice = [*path.split("/"), "", ""][:3]
    chosen = {"": "", "versions": f"version {{ value: {choice} }}", "labels": f'version_label: "{choice}"'}[kind]
    named = f'signature_name: "{signature}"' if signature else ""
    return f'model_spec {{ name: "{name}" {chosen} {named} }}'


CONTEXT = {f"feature {number}": "x" * 90 for number in range(40)}
REPEATED = 8 * example(**CONTEXT).features.ByteSize()
PREDICT, EXAMPLES = errors_of_predict, errors_of_examples
SIGNATURE = "Signature 'serving_default' must have"
CASES = {
    "no model": (PREDICT, {"path": "none", "text": ["a"]}, 404, "Servable not found for request: Latest(none)"),
    "no version": (
        PREDICT,
        {"path": "graph/versions/7", "text": ["a"]},
        404,
        "Servable not found for request: Specific(graph, 7)",
    ),
    "no label": (
        PREDICT,
        {"path": "graph/labels/beta", "text": ["a"]},
        400,
        "Unrecognized servable version label: beta",
    ),
    "shape": (PREDICT, {"text": [["a"]]}, 400, "Input 'text' must have the shape [any]. Received: [1, 1]"),
    "refused by the graph": (PREDICT, {"text": ["bad"]}, 400, "assertion failed: [a bad text]"),
    "many texts": (PREDICT, {"text": ["a"] * 9}, 413, "A request must hold at most 8 texts. Received: 9 in 'text'"),
    "many texts in lists": (
        PREDICT,
        {"text": [["a"] * 3] * 3},
        413,
        "A request must hold at most 8 texts. Received: 9 in 'text'",
    ),
    "many numbers": (
        PREDICT,
        {
            "signature": "types",
            "whole": np.zeros((9, 2), np.int32),
            "real": np.zeros(9, np.float32),
            "yes": np.zeros(9, bool),
            "long": np.zeros(9, np.int64),
        },
        413,
        "A request must hold at most 8 texts. Received: 9 in 'long'",
    ),
    "long text": (PREDICT, {"text": ["a" * 101]}, 413, "A text must hold at most 100 bytes. Received: 101 in 'text'"),
    "many choices in a serialized example": (
        PREDICT,
        {"signature": "classes", "inputs": serialized(example(text="a", choices=[""] * 9))},
        413,
        "A request must hold at most 8 texts. Received: 9 in 'choices'",
    ),
    "many choices to fill up": (
        PREDICT,
        {"signature": "classes", "inputs": serialized(example(choices=["a"]), example(choices=["a"] * 5))},
        413,
        "A request must hold at most 8 texts. Received: 10 in 'choices'",
    ),
    "many serialized examples": (
        PREDICT,
        {"signature": "classes", "inputs": serialized(example(text="a")) * 9},
        413,
        "A request must hold at most 8 texts. Received: 9 in 'inputs'",
    ),
    "long text in a serialized example": (
        PREDICT,
        {"signature": "classes", "inputs": serialized(example(text="a" * 101))},
        413,
        "A text must hold at most 100 bytes. Received: 101 in 'text'",
    ),
    "long bytes that are no example": (
        PREDICT,
        {"signature": "classes", "inputs": [b"\xff" * 101]},
        413,
        "A text must hold at most 100 bytes. Received: 101 in 'inputs'",
    ),
    "many examples": (
        EXAMPLES,
        {"examples": [{"text": "a"}] * 9},
        413,
        "A request must hold at most 8 texts. Received: 9 in 'examples'",
    ),
    "many texts in a feature": (
        EXAMPLES,
        {"examples": [{"text": ["a"] * 9}], "verb": "regress", "signature": "numbers"},
        413,
        "A request must hold at most 8 texts. Received: 9 in 'text'",
    ),
    "many texts in the context": (
        EXAMPLES,
        {"examples": [{"text": "a"}] * 3, "context": {"choices": ["a"] * 3}},
        413,
        "A request must hold at most 8 texts. Received: 9 in 'choices'",
    ),
    "long text in a feature": (
        EXAMPLES,
        {"examples": [{"text": "a" * 101}]},
        413,
        "A text must hold at most 100 bytes. Received: 101 in 'text'",
    ),
    "large context": (
        EXAMPLES,
        {"examples": [{"text": "a"}] * 8, "context": CONTEXT},
        413,
        f"A request must hold at most 20000 bytes, with a copy of its 'context' for each example. Received: {REPEATED}",
    ),
    "no signature of examples": (
        EXAMPLES,
        {"examples": [{"text": "a"}], "signature": "serving_default"},
        400,
        f"{SIGNATURE} one input, 'inputs', for classify requests. Received: text",
    ),
    "no signature of Regress": (
        EXAMPLES,
        {"examples": [{"text": "a"}], "verb": "regress"},
        400,
        "Signature 'classes' must have the outputs outputs for regress requests. Received: classes, scores",
    ),
    "metadata of no model": (
        errors_of_metadata,
        {"path": "none"},
        404,
        "Servable not found for request: Latest(none)",
    ),
    "status of no model": (errors_of_status, {"path": "none"}, 404, "Could not find any versions of model none"),
    "status of no version": (
        errors_of_status,
        {"path": "graph/versions/3"},
        404,
        "Could not find version 3 of model graph",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_both_protocols_have_the_same_words(addresses, name):
    errors_of, arguments, status, text = CASES[name]
    answer, by_grpc = errors_of(*addresses, **arguments)
    assert (answer.status, answer.value) == (status, {"error": text})
    assert by_grpc == (CODES[status], text)


# Here TensorFlow Serving's own words depend on the protocol, and so do these.
OWN_WORDS = {
    "signature": (
        {"signature": "x", "text": ["a"]},
        'Serving signature name: "x" not found in signature def',
        ("FAILED_PRECONDITION", 'Serving signature key "x" not found.'),
    ),
    "type": (
        {"text": [1]},
        "JSON Value: 1 of input 'text' is not of expected type: DT_STRING",
        ("INVALID_ARGUMENT", "input tensor alias text: expects DT_STRING but DT_INT32 is provided"),
    ),
    "input": (
        {"more": ["a"]},
        "Missing named input: text in 'inputs' object.",
        (
            "INVALID_ARGUMENT",
            "input tensor alias not found in signature: more. Inputs expected to be in the set {text}.",
        ),
    ),
}


@pytest.mark.parametrize("name", OWN_WORDS)
def test_words_that_serving_has_for_one_protocol(addresses, name):
    arguments, text, expected = OWN_WORDS[name]
    answer, by_grpc = errors_of_predict(*addresses, **arguments)
    assert (answer.status, answer.value) == (400, {"error": text})
    assert by_grpc == expected
