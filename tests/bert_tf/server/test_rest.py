"""The server answers as TensorFlow Serving's REST interface is published to.

The facts are those of tensorflow/serving: `g3doc/api_rest.md`, `util/json_tensor.cc` and `model_servers/http_*`.
"""

import base64
import json

import pytest
from small_server import ask, serving, write_version

from bert_tf.server.models import ServedModel

pytest.importorskip("tensorflow_text")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The address of a server that holds two of the three versions of the model `graph`."""
    folder = tmp_path_factory.mktemp("graph")
    for number in (1, 2, 10):
        write_version(folder, number, scale=number)
    model = ServedModel("graph", str(folder), {"stable": 2, "lost": 1}, num_versions=2)
    with serving(model, ServedModel("sp ace/:é", str(folder))) as address:
        yield f"{address}/v1/models/graph"


def _status(number, state="AVAILABLE"):
    return {"version": str(number), "state": state, "status": {"error_code": "OK", "error_message": ""}}


def test_status(url):
    answer = ask(url)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.value == {"model_version_status": [_status(10), _status(2)]}
    assert ask(f"{url}/versions/2").value == {"model_version_status": [_status(2)]}
    assert ask(f"{url}/labels/stable").value == {"model_version_status": [_status(2)]}


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/versions/1", 404, "Could not find version 1 of model graph"),
        ("/labels/beta", 400, "Unrecognized servable version label: beta"),
        ("/versions/1/metadata", 404, "Servable not found for request: Specific(graph, 1)"),
        ("/versions/99999999999999999999", 400, "Failed to convert version: 99999999999999999999 to numeric."),
        ("/versions/9223372036854775808", 400, "Failed to convert version: 9223372036854775808 to numeric."),
        ("/versions/two", 400, "Malformed request: GET /v1/models/graph/versions/two"),
        ("/versions/1/labels/stable", 400, "Malformed request: GET /v1/models/graph/versions/1/labels/stable"),
        (":predict", 400, "Malformed request: GET /v1/models/graph:predict"),
        ("x", 404, "Could not find any versions of model graphx"),
        ("x/metadata", 404, "Servable not found for request: Latest(graphx)"),
    ],
)
def test_get_errors(url, path, status, error):
    answer = ask(url + path)
    assert (answer.status, answer.value) == (status, {"error": error})
    assert answer.headers["content-type"] == "application/json"


def test_paths(url):
    base = url.removesuffix("/graph")
    assert ask(base).value == {"error": "Missing model name in request."}
    assert ask(f"{base}/sp%20ace%2f%3A%C3%A9").status == 200
    assert ask(url.upper().replace("HTTP", "http").replace("GRAPH", "graph")).status == 200
    outside = ask(url.removesuffix("/v1/models/graph") + "/v2")
    assert (outside.status, outside.value) == (404, {"error": "Not Found: GET /v2"})
    refused = ask(url, b"{}", "DELETE")
    assert (refused.status, list(refused.value)) == (405, ["error"])
    assert ask(f"{url}:predict", {"instances": ["a"]}, "PUT").status == 405
    head = ask(url, method="HEAD")
    assert (head.status, head.value) == (200, "")


def test_metadata(url):
    answer = ask(f"{url}/labels/stable/metadata")
    assert answer.value["model_spec"] == {"name": "graph", "signature_name": "", "version": "2"}
    signatures = answer.value["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) >= {"serving_default", "types", "__saved_model_init_op"}
    default = signatures["serving_default"]
    assert default["method_name"] == "tensorflow/serving/predict"
    text = default["inputs"]["text"]
    assert text.pop("name").startswith("serving_default_text")
    assert text == {
        "dtype": "DT_STRING",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
    }
    assert default["outputs"]["sizes"]["tensor_shape"]["dim"][1] == {"size": "2", "name": ""}


def test_rows(url):
    rows = [{"upper": "A", "sizes": [1.0, 10.0]}, {"upper": "BC", "sizes": [2.0, 20.0]}]
    assert ask(f"{url}:predict", {"instances": ["a", "bc"]}).value == {"predictions": rows}
    assert ask(f"{url}:predict", {"instances": [{"text": "a"}, {"text": "bc"}]}).value == {"predictions": rows}
    older = ask(f"{url}/labels/stable:predict", {"instances": ["a"], "signature_name": "serving_default"})
    assert older.value == {"predictions": [{"upper": "A", "sizes": [1.0, 2.0]}]}
    assert ask(f"{url}/versions/2:predict", {"instances": ["a"], "signature_name": ""}).value == older.value


def test_columns(url):
    columns = {"upper": ["A", "BC"], "sizes": [[1.0, 10.0], [2.0, 20.0]]}
    assert ask(f"{url}:predict", {"inputs": {"text": ["a", "bc"]}}).value == {"outputs": columns}
    assert ask(f"{url}:predict", {"inputs": ["a", "bc"]}).value == {"outputs": columns}
    assert ask(f"{url}:predict", {"inputs": {"text": []}}).value == {"outputs": {"upper": [], "sizes": []}}


def test_one_output_has_no_name(url):
    asked = {"signature_name": "words", "instances": ["a", "b c"]}
    assert ask(f"{url}:predict", asked).value == {"predictions": [["a", ""], ["b", "c"]]}
    assert ask(f"{url}:predict", {"signature_name": "words", "inputs": ["b"]}).value == {"outputs": [["b"]]}


def test_bytes(url):
    data = b"\xff\x00 bytes"
    coded = {"b64": base64.b64encode(data).decode()}
    asked = {"signature_name": "echo", "instances": [coded, {"text": "é"}["text"], {"b64": "aGk"}]}
    texts = [coded, {"b64": base64.b64encode("é".encode()).decode()}, {"b64": "aGk="}]
    assert ask(f"{url}:predict", asked).value == {"predictions": texts}
    asked = {"signature_name": "echo", "inputs": {"text": [coded]}}
    assert ask(f"{url}:predict", asked).value == {"outputs": [coded]}
    # Without `_bytes` at the end of its name, an output is text.
    assert ask(f"{url}:predict", {"instances": [{"b64": "aGk="}]}).value["predictions"][0]["upper"] == "HI"
    broken = ask(f"{url}:predict", {"instances": [{"b64": "a"}]})
    assert broken.status == 400
    assert broken.value["error"].startswith("Unable to base64 decode")


TYPES = {"whole": [[1, 2]], "real": [0.1], "yes": [True], "long": [2**53]}


def test_types(url):
    columns = ask(f"{url}:predict", {"signature_name": "types", "inputs": TYPES}).value["outputs"]
    assert columns == {"whole": [[2, 4]], "real": [0.1], "yes": [False], "long": [2**53 + 1], "sum": 0.1}
    special = TYPES | {"real": [float("nan"), float("inf"), float("-inf"), 3], "whole": [[0, 0]] * 4}
    special |= {"yes": [True] * 4, "long": [1] * 4}
    asked = json.dumps({"signature_name": "types", "inputs": special}).encode()
    assert b"NaN" in asked
    found = ask(f"{url}:predict", asked).value["outputs"]["real"]
    assert str(found) == "[nan, inf, -inf, 3.0]"
    # A number without axes does not belong to a row.
    rows = [{name: values[0] for name, values in TYPES.items()}]
    refused = ask(f"{url}:predict", {"signature_name": "types", "instances": rows})
    assert (refused.status, refused.value) == (400, {"error": "Tensor name: sum has no shape information"})


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"whole": [[1, 2.0]]}, "JSON Value: 2.0 of input 'whole' is not of expected type: DT_INT32"),
        ({"whole": [[1, True]]}, "JSON Value: True of input 'whole' is not of expected type: DT_INT32"),
        ({"whole": [[1, 2**31]]}, "JSON Value: 2147483648 of input 'whole' is not of expected type: DT_INT32"),
        ({"long": [2**63]}, f"JSON Value: {2**63} of input 'long' is not of expected type: DT_INT64"),
        ({"long": ["1"]}, "JSON Value: '1' of input 'long' is not of expected type: DT_INT64"),
        ({"yes": [1]}, "JSON Value: 1 of input 'yes' is not of expected type: DT_BOOL"),
        ({"yes": [None]}, "JSON Value: None of input 'yes' is not of expected type: DT_BOOL"),
        ({"real": [2**24]}, "Cannot convert JSON value: 16777216 to float32 without loss of precision."),
        ({"real": [1e39]}, "Cannot convert JSON value: 1e+39 to float32 without loss of precision."),
        ({"real": [{"b64": "aGk="}]}, "JSON Value: {'b64': 'aGk='} of input 'real' is not of expected type: DT_FLOAT"),
        ({"whole": [[1, 2], [3]]}, "Input 'whole': expecting tensor size: 2 but got: 1"),
        ({"whole": [1, [2]]}, "Input 'whole': expecting a value at level 2. Received: [2]"),
        ({"whole": [[1, 2], 3]}, "Input 'whole': expecting a list at level 2. Received: 3"),
        ({"whole": [[1, 2, 3]]}, "Input 'whole' must have the shape [any, 2]. Received: [1, 3]"),
        ({"real": 1.5}, "Input 'real' must have the shape [any]. Received: []"),
    ],
)
def test_wrong_values(url, change, error):
    answer = ask(f"{url}:predict", {"signature_name": "types", "inputs": TYPES | change})
    assert (answer.status, answer.value) == (400, {"error": error})


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"[1]", "JSON Value: [1] Is not object"),
        (b'{"instances": ["a"]', "JSON Parse error: Expecting ',' delimiter at offset: 19"),
        (b"{}", "Missing 'inputs' or 'instances' key"),
        (b'{"instances": ["a"], "inputs": ["a"]}', "Not formatted correctly expecting only one of 'inputs' or"),
        (b'{"instances": []}', "No values in 'instances' array"),
        (b'{"instances": "a"}', "Expecting 'instances' to be a list/array. Received: 'a'"),
        (b'{"instances": ["a", {"text": "b"}]}', "Expecting value/list but got object at item 1 of input list"),
        (b'{"instances": [{"text": "b"}, "a"]}', "Expecting object but got value/list at item 1 of input list"),
        (
            b'{"instances": [{"words": "b"}]}',
            "Failed to process element: 0 of 'instances' list. JSON object: keys must",
        ),
        (b'{"inputs": {"words": ["b"]}}', "Missing named input: text in 'inputs' object."),
        (b'{"instances": ["a"], "signature_name": 5}', "'signature_name' key must be a string value. Received: 5"),
        (b'{"instances": ["a"], "signature_name": "no"}', 'Serving signature name: "no" not found in signature def'),
        (b'{"instances": ["a"], "signature_name": "types"}', "instances is a plain list, but must hold objects with"),
        (b'{"inputs": ["a"], "signature_name": "types"}', "inputs is a plain value/list, but must be an object with"),
        (
            b'{"inputs": ["a"], "signature_name": "__saved_model_init_op"}',
            "Failed to get input map for signature: __saved_model_init_op",
        ),
        (b'{"instances": ["bad"]}', "assertion failed: [a bad text]"),
    ],
)
def test_wrong_requests(url, body, error):
    answer = ask(f"{url}:predict", body)
    assert answer.status == 400
    assert answer.value["error"].startswith(error)


def test_classify(url):
    asked = {"signature_name": "classes", "examples": [{"text": "abc"}, {"text": ["a"]}]}
    results = [[["once", 3.0], ["scaled", 30.0]], [["once", 1.0], ["scaled", 10.0]]]
    assert ask(f"{url}:classify", asked).value == {"results": results}
    with_context = {"signature_name": "classes", "context": {"text": "abc"}, "examples": [{}, {"other": [1.5, 2.5]}]}
    assert ask(f"{url}/labels/stable:classify", with_context).value["results"][0] == [["once", 3.0], ["scaled", 6.0]]
    binary = {"signature_name": "classes", "examples": [{"text": {"b64": "YWJj"}}]}
    assert ask(f"{url}:classify", binary).value == {"results": results[:1]}


def test_regress(url):
    asked = {"signature_name": "numbers", "examples": [{"x": 0.5}, {"x": [1.5], "n": 2}, {"x": 2.5, "n": True}]}
    assert ask(f"{url}:regress", asked).value == {"results": [0.5, 3.5, 3.5]}


@pytest.mark.parametrize(
    ("verb", "change", "error"),
    [
        ("classify", {"examples": None}, "Expecting 'examples' value to be a list/array. Received: None"),
        ("classify", {"examples": []}, "'examples' value is an empty array"),
        ("classify", {"examples": ["a"]}, "Example must be JSON object. Received: 'a'"),
        ("classify", {"context": [1]}, "Example must be JSON object. Received: [1]"),
        ("classify", {"examples": [{"text": None}]}, "Feature: text has element with unexpected JSON type"),
        ("classify", {"examples": [{"text": [["a"]]}]}, "Feature: text has element with unexpected JSON type"),
        ("classify", {"examples": [{"text": ["a", 1]}]}, "Unexpected element type in feature: text"),
        ("classify", {"examples": [{"text": [1.5, 1]}]}, "Unexpected element type in feature: text"),
        ("classify", {"examples": [{"text": 2**63}]}, "Feature: text has a number beyond int64"),
        ("classify", {"examples": [{"text": 1e300}]}, "Cannot convert JSON value: 1e+300 to float"),
        ("classify", {"examples": [{"x": "a"}]}, "Name: <unknown>, Feature: text (data type: string) is required"),
        ("classify", {"examples": [{"text": 1}]}, "Name: <unknown>, Key: text, Index: 0.  Data types don't match"),
        (
            "classify",
            {"signature_name": "serving_default"},
            "Signature 'serving_default' must have one input, 'inputs'",
        ),
        ("classify", {"signature_name": "numbers"}, "Signature 'numbers' must have the outputs classes and scores"),
        ("regress", {}, "Signature 'classes' must have the outputs outputs for regress requests. Received: classes, s"),
    ],
)
def test_wrong_examples(url, verb, change, error):
    answer = ask(f"{url}:{verb}", {"signature_name": "classes", "examples": [{"text": "a"}]} | change)
    assert answer.status == 400
    assert answer.value["error"].startswith(error)


def test_wrong_models(url):
    body = {"instances": ["a"]}
    for path, error in {
        "x:predict": "Servable not found for request: Latest(graphx)",
        "/versions/1:predict": "Servable not found for request: Specific(graph, 1)",
        "/labels/lost:predict": "Servable not found for request: Specific(graph, 1)",
    }.items():
        answer = ask(url + path, body)
        assert (answer.status, answer.value) == (404, {"error": error})
    assert ask(f"{url}/labels/beta:predict", body).status == 400
    malformed = ask(f"{url}:train", body)
    assert (malformed.status, malformed.value) == (400, {"error": "Malformed request: POST /v1/models/graph:train"})
    alone = ask(f"{url}:explain", body)
    assert alone.status == 400
    assert alone.value["error"].startswith("'explain' needs the run beside the export")


def test_one_connection_serves_many_requests(url):
    import http.client
    import urllib.parse

    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)
    for number in range(5):
        body = json.dumps({"instances": ["a" * number]})
        connection.request("POST", "/v1/models/graph:predict", body)
        answer = json.loads(connection.getresponse().read())
        assert answer["predictions"][0]["sizes"][0] == number
    connection.close()
