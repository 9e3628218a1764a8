"""The server answers as TensorFlow Serving's gRPC interface is published to, field by field.

The facts are those of tensorflow/serving: `apis/*.proto` and `servables/tensorflow/*.cc`.
"""

import struct

import numpy as np
import pytest
import tensorflow as tf
from small_server import TIMEOUT, serving_both, write_version

from bert_tf.server.models import ServedModel

grpc = pytest.importorskip("grpc")
pytest.importorskip("tensorflow_serving.apis")
pytest.importorskip("tensorflow_text")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from google.protobuf import text_format  # noqa: E402
from small_grpc import SPEC, Services, error_of, message, predict  # noqa: E402
from tensorflow.core.framework import tensor_pb2  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    for number in (1, 2, 10):
        write_version(folder, number, scale=number)
    return folder


@pytest.fixture(scope="module")
def addresses(folder):
    model = ServedModel("graph", str(folder), {"stable": 2, "lost": 1}, num_versions=2)
    limits = {"max_texts": 8, "max_characters": 100, "max_request_bytes": 20_000}
    with serving_both(model, **limits) as (url, grpc_url):
        services = Services(grpc_url)
        yield url, services
        services.channel.close()


@pytest.fixture(scope="module")
def services(addresses):
    return addresses[1]


@pytest.mark.parametrize(
    ("choice", "version"),
    [("", 10), ("version { value: 2 }", 2), ('version_label: "stable"', 2), ('signature_name: "serving_default"', 10)],
)
def test_predict(services, choice, version):
    request = predict(f'model_spec {{ name: "graph" {choice} }}', text=["a", "bc"])
    expected = f"""
      model_spec {{ name: "graph" version {{ value: {version} }} signature_name: "serving_default" }}
      outputs {{ key: "sizes" value {{
        dtype: DT_FLOAT tensor_shape {{ dim {{ size: 2 }} dim {{ size: 2 }} }}
        float_val: 1 float_val: {version} float_val: 2 float_val: {2 * version}
      }} }}
      outputs {{ key: "upper" value {{
        dtype: DT_STRING tensor_shape {{ dim {{ size: 2 }} }} string_val: "A" string_val: "BC"
      }} }}
    """
    assert services.prediction.Predict(request) == message(predict_pb2.PredictResponse, expected)


def test_types(services):
    request = predict(
        'model_spec { name: "graph" signature_name: "types" }',
        whole=np.array([[1, -2], [3, 4]], np.int32),
        real=np.array([0.1, np.nan], np.float32),
        yes=np.array([True, False]),
        long=np.array([2**62, -1], np.int64),
    )
    assert request.inputs["whole"].tensor_content  # bytes, where answers have numbers
    outputs = services.prediction.Predict(request).outputs
    assert list(outputs["whole"].int_val) == [2, -4, 6, 8]
    assert list(outputs["long"].int64_val) == [2**62 + 1, 0]
    assert list(outputs["yes"].bool_val) == [False, True]
    np.testing.assert_array_equal(outputs["real"].float_val, np.array([0.1, np.nan], np.float32))
    assert (outputs["sum"].dtype, len(outputs["sum"].tensor_shape.dim)) == (tf.float32.as_datatype_enum, 0)
    request.inputs["yes"].CopyFrom(tensor_pb2.TensorProto(dtype="DT_BOOL", bool_val=[True]))
    request.inputs["yes"].tensor_shape.dim.add().size = 3  # the last value stands for those that are missing
    assert list(services.prediction.Predict(request).outputs["yes"].bool_val) == [False] * 3


def test_an_output_filter(services):
    request = predict(f'{SPEC} output_filter: "upper"', text=["a"])
    assert list(services.prediction.Predict(request).outputs) == ["upper"]
    request.output_filter.append("upper")
    refused = ("INVALID_ARGUMENT", "duplicate output tensor alias: upper")
    assert error_of(services.prediction.Predict, request) == refused


def test_strings_need_not_be_text(services):
    request = predict('model_spec { name: "graph" signature_name: "echo" }', text=[b"\xff\x00", b""])
    assert list(services.prediction.Predict(request).outputs["text_bytes"].string_val) == [b"\xff\x00", b""]


PREDICT_ERRORS = {
    "no spec": (predict("", text=["a"]), "INVALID_ARGUMENT", "Missing ModelSpec"),
    "no model": (
        predict('model_spec { name: "none" }', text=["a"]),
        "NOT_FOUND",
        "Servable not found for request: Latest(none)",
    ),
    "no version": (
        predict('model_spec { name: "graph" version { value: -1 } }', text=["a"]),
        "NOT_FOUND",
        "Servable not found for request: Specific(graph, -1)",
    ),
    "version not loaded": (
        predict('model_spec { name: "graph" version_label: "lost" }', text=["a"]),
        "NOT_FOUND",
        "Servable not found for request: Specific(graph, 1)",
    ),
    "no label": (
        predict('model_spec { name: "graph" version_label: "beta" }', text=["a"]),
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: beta",
    ),
    "no signature": (
        predict('model_spec { name: "graph" signature_name: "x" }', text=["a"]),
        "FAILED_PRECONDITION",
        'Serving signature key "x" not found.',
    ),
    "too many inputs": (
        predict(text=["a"], more=["b"]),
        "INVALID_ARGUMENT",
        "input size does not match signature: 2!=1 len({more,text}) != len({text}). Sent extra: {more}. "
        "Missing but required: {}.",
    ),
    "other input": (
        predict(more=["b"]),
        "INVALID_ARGUMENT",
        "input tensor alias not found in signature: more. Inputs expected to be in the set {text}.",
    ),
    "other output": (
        predict(f'{SPEC} output_filter: "x"', text=["a"]),
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: x Outputs expected to be in the set {sizes,upper}.",
    ),
    "type": (
        predict(text=[1]),
        "INVALID_ARGUMENT",
        "input tensor alias text: expects DT_STRING but DT_INT32 is provided",
    ),
    "shape": (
        predict(text=[["a"]]),
        "INVALID_ARGUMENT",
        "Input 'text' must have the shape [any]. Received: [1, 1]",
    ),
    "more values than the shape": (
        predict(
            f'{SPEC} inputs {{ key: "text" value {{ dtype: DT_STRING string_val: "a" string_val: "b" '
            "tensor_shape { dim { size: 1 } } } }"
        ),
        "INVALID_ARGUMENT",
        "tensor parsing error: text: its shape has room for 1 values. Received: 2",
    ),
    "one value for a billion": (
        predict(
            f'{SPEC} inputs {{ key: "text" value {{ dtype: DT_STRING string_val: "a" '
            "tensor_shape { dim { size: 1000000000 } } } }"
        ),
        "INVALID_ARGUMENT",
        "A request must hold at most 8 texts. Received: 1000000000 in 'text'",
    ),
    "negative size": (
        predict(f'{SPEC} inputs {{ key: "text" value {{ dtype: DT_STRING tensor_shape {{ dim {{ size: -1 }} }} }} }}'),
        "INVALID_ARGUMENT",
        "tensor parsing error: text: the size of each axis must be known and at least 0",
    ),
    "one number for a million": (
        predict(
            'model_spec { name: "graph" signature_name: "types" } '
            'inputs { key: "long" value { dtype: DT_INT64 int64_val: 1 tensor_shape { dim { size: 1000000 } } } } '
            'inputs { key: "real" value { } } inputs { key: "whole" value { } } inputs { key: "yes" value { } }'
        ),
        "INVALID_ARGUMENT",
        "tensor parsing error: long: an input must hold at most 20000 values. Received: 1000000",
    ),
    "refused by the graph": (predict(text=["a", "bad"]), "INVALID_ARGUMENT", "assertion failed: [a bad text]"),
    "too many texts": (
        predict(text=["a"] * 9),
        "INVALID_ARGUMENT",
        "A request must hold at most 8 texts. Received: 9 in 'text'",
    ),
    "too long a text": (
        predict(text=["a" * 101]),
        "INVALID_ARGUMENT",
        "A text must hold at most 100 bytes. Received: 101 in 'text'",
    ),
}


@pytest.mark.parametrize("name", PREDICT_ERRORS)
def test_predict_errors(services, name):
    request, code, details = PREDICT_ERRORS[name]
    assert error_of(services.prediction.Predict, request) == (code, details)


def test_too_large_a_message_is_refused(services):
    code, details = error_of(services.prediction.Predict, predict(text=["a" * 20_001]))
    assert code == "RESOURCE_EXHAUSTED"
    assert "larger than max" in details
    assert services.prediction.Predict(predict(text=["a"])).outputs  # the connection goes on


EXAMPLES = """
  input { example_list_with_context {
    context { features { feature { key: "text" value { bytes_list { value: "abc" } } } } }
    examples { } examples { features { feature { key: "text" value { bytes_list { value: "de" } } } } }
  } }
"""
CLASSIFICATIONS = """
  classifications { classes { label: "once" score: 3 } classes { label: "scaled" score: 30 } }
  classifications { classes { label: "once" score: 2 } classes { label: "scaled" score: 20 } }
"""


def test_classify(services):
    spec = 'name: "graph" signature_name: "classes"'
    request = message(classification_pb2.ClassificationRequest, f"model_spec {{ {spec} }} {EXAMPLES}")
    expected = f"result {{ {CLASSIFICATIONS} }} model_spec {{ {spec} version {{ value: 10 }} }}"
    assert services.prediction.Classify(request) == message(classification_pb2.ClassificationResponse, expected)


NUMBERS = """
  input { example_list { examples { features {
    feature { key: "x" value { float_list { value: 1.5 } } } feature { key: "n" value { int64_list { value: 2 } } }
  } } } }
"""


def test_regress(services):
    spec = 'name: "graph" signature_name: "numbers" version { value: 2 }'
    request = message(regression_pb2.RegressionRequest, f"model_spec {{ {spec} }} {NUMBERS}")
    expected = f"result {{ regressions {{ value: 3.5 }} }} model_spec {{ {spec} }}"
    assert services.prediction.Regress(request) == message(regression_pb2.RegressionResponse, expected)


@pytest.mark.parametrize(
    ("text", "details"),
    [
        (f'model_spec {{ name: "graph" signature_name: "x" }} {EXAMPLES}', "No signature was found with the name: x"),
        ('model_spec { name: "graph" signature_name: "classes" }', "Input is empty."),
        (
            f"{SPEC} {EXAMPLES}",
            "Signature 'serving_default' must have one input, 'inputs', for classify requests. Received: text",
        ),
        (
            'model_spec { name: "graph" signature_name: "classes" } input { example_list { '
            + "examples { } " * 9
            + "} }",
            "A request must hold at most 8 texts. Received: 9 in 'examples'",
        ),
        (
            'model_spec { name: "graph" signature_name: "classes" } input { example_list { examples { features { '
            f'feature {{ key: "text" value {{ bytes_list {{ value: "{"a" * 101}" }} }} }} }} }} }} }}',
            "A text must hold at most 100 bytes. Received: 101 in 'text'",
        ),
    ],
)
def test_classify_errors(services, text, details):
    request = message(classification_pb2.ClassificationRequest, text)
    assert error_of(services.prediction.Classify, request) == ("INVALID_ARGUMENT", details)


def _task(signature, method):
    return (
        f'tasks {{ model_spec {{ name: "graph" signature_name: "{signature}" }} '
        f'method_name: "tensorflow/serving/{method}" }}'
    )


def test_multi_inference(services):
    both = """
      input { example_list { examples { features {
        feature { key: "x" value { float_list { value: 1 } } }
        feature { key: "text" value { bytes_list { value: "abc" } } }
      } } } }
    """
    tasks = f"{_task('numbers', 'regress')} {_task('classes', 'classify')}"
    expected = """
      results { model_spec { name: "graph" signature_name: "numbers" version { value: 10 } }
        regression_result { regressions { value: 1 } } }
      results { model_spec { name: "graph" signature_name: "classes" version { value: 10 } }
        classification_result { classifications {
          classes { label: "once" score: 3 } classes { label: "scaled" score: 30 } } } }
    """
    found = services.prediction.MultiInference(message(inference_pb2.MultiInferenceRequest, f"{tasks} {both}"))
    assert found == message(inference_pb2.MultiInferenceResponse, expected)
    wrong = {
        both: ("INVALID_ARGUMENT", "MultiInferenceRequest must hold at least one task"),
        f"{tasks} {tasks} {both}": ("INVALID_ARGUMENT", "Duplicate evaluation of signature: numbers"),
        f'{tasks} tasks {{ model_spec {{ name: "b" }} }} {both}': (
            "INVALID_ARGUMENT",
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        f"{_task('numbers', 'predict')} {both}": (
            "UNIMPLEMENTED",
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
    }
    for text, expected_error in wrong.items():
        request = message(inference_pb2.MultiInferenceRequest, text)
        assert error_of(services.prediction.MultiInference, request) == expected_error


def test_metadata(services, folder):
    request = message(get_model_metadata_pb2.GetModelMetadataRequest, f'{SPEC} metadata_field: "signature_def"')
    answer = services.prediction.GetModelMetadata(request)
    assert text_format.MessageToString(answer.model_spec, as_one_line=True) == 'name: "graph" version { value: 10 }'
    found = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(found)
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((folder / "10" / "saved_model.pb").read_bytes())
    assert dict(found.signature_def) == dict(saved.meta_graphs[0].signature_def)
    for text, details in {
        SPEC: "GetModelMetadataRequest must specify at least one metadata_field",
        f'{SPEC} metadata_field: "x"': "Metadata field x is not supported",
        'metadata_field: "signature_def"': "Missing ModelSpec",
    }.items():
        request = message(get_model_metadata_pb2.GetModelMetadataRequest, text)
        assert error_of(services.prediction.GetModelMetadata, request) == ("INVALID_ARGUMENT", details)


def test_status(services):
    expected = """
      model_version_status { version: 10 state: AVAILABLE status { } }
      model_version_status { version: 2 state: AVAILABLE status { } }
    """
    request = message(get_model_status_pb2.GetModelStatusRequest)
    found = services.model.GetModelStatus(request)
    assert found == message(get_model_status_pb2.GetModelStatusResponse, expected)
    request.model_spec.version.value = 2
    assert [each.version for each in services.model.GetModelStatus(request).model_version_status] == [2]
    request.model_spec.version.value = 3
    refused = ("NOT_FOUND", "Could not find version 3 of model graph")
    assert error_of(services.model.GetModelStatus, request) == refused
    reload = model_management_pb2.ReloadConfigRequest()
    code, _ = error_of(services.model.HandleReloadConfigRequest, reload)
    assert code == "UNIMPLEMENTED"


def test_bytes_that_are_no_message(addresses):
    _, services = addresses
    method = services.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    for number in range(8):
        bad = struct.pack("<Q", 0xFFFFFFFFFFFFFF0A >> number)
        with pytest.raises(grpc.RpcError):
            method(bad, timeout=TIMEOUT)
    with pytest.raises(grpc.RpcError) as found:
        services.channel.unary_unary("/tensorflow.serving.PredictionService/Other")(b"", timeout=TIMEOUT)
    assert found.value.code().name == "UNIMPLEMENTED"
    assert services.prediction.Predict(predict(text=["a"])).outputs
