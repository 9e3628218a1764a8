"""The run beside an export adds texts that stream, attributions and attention."""

import http.client
import json
import urllib.parse

import numpy as np
import pytest
from small_model import write_multi_task_run, write_run
from small_server import TIMEOUT, ask, assert_near, serving, write_version

import bert_tf
from bert_tf.server.models import ServedModel
from bert_tf.server.served_run import attach_runs

pytest.importorskip("tensorflow_text")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

TEXT = "the old miller lives by the river"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of runs by task."""
    folder = tmp_path_factory.mktemp("runs")
    found = {task: write_run(folder / task, task) for task in ("seq2seq", "classification")}
    found["several"] = write_multi_task_run(folder / "several", {"topic": "classification", "names": "tagging"})
    return {name: str(run) for name, run in found.items()}


@pytest.fixture(scope="module")
def models(runs, tmp_path_factory):
    # What the export answers does not count here: a small graph takes its place.
    folder = tmp_path_factory.mktemp("exports")
    write_version(folder, 1)
    found = {name: ServedModel(name, str(folder)) for name in (*runs, "alone")}
    attach_runs([f"{task}={run}" for task, run in runs.items()], found)
    return found


@pytest.fixture(scope="module")
def url(models):
    with serving(*models.values(), max_characters=100) as address:
        yield f"{address}/v1/models"


def test_a_text_streams_in_the_parts_of_the_predictor(url, runs):
    expected = list(bert_tf.load(runs["seq2seq"]).stream(TEXT, max_length=8))
    assert len(expected) > 1
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
    body = {"text": TEXT, "stream": True, "max_length": 8.0}  # a whole number, for JSON
    connection.request("POST", f"{parts.path}/seq2seq:generate", json.dumps(body))
    response = connection.getresponse()
    assert response.status == 200
    assert response.getheader("content-type").startswith("text/event-stream")
    events = response.read().decode().split("\n\n")
    connection.close()
    assert events[-2:] == ["data: [DONE]", ""]
    assert [json.loads(event.removeprefix("data: "))["text"] for event in events[:-2]] == expected
    whole = ask(f"{url}/seq2seq:generate", {"text": TEXT, "max_length": 8})
    assert whole.value == {"text": "".join(expected)}
    client = bert_tf.Client(f"{url}/seq2seq")
    assert list(client.stream(TEXT, max_length=8)) == expected
    with pytest.raises(ValueError, match="`max_length` must be"):
        next(client.stream(TEXT, max_length=0))


def test_explanations_are_those_of_the_predictor(url, runs):
    answer = ask(f"{url}/classification:explain", {"text": TEXT, "method": "occlusion"})
    assert answer.status == 200
    [found] = answer.value["explanations"]
    predictor = bert_tf.load(runs["classification"])
    [expected] = predictor.explain([TEXT], method="occlusion")
    assert found["target"] == expected["target"]
    for one, other in zip(found["tokens"], expected["tokens"], strict=True):
        assert one["token"] == other["token"]
        assert abs(one["attribution"] - other["attribution"]) < 1e-5
    assert found["texts"] == [TEXT]
    assert found["attention"]["shape"] == list(np.shape(predictor.attention([TEXT])[0]["weights"]))
    client = bert_tf.Client(f"{url}/classification")
    assert_near(client.explain([TEXT], method="occlusion"), [expected])
    options = {"method": "occlusion", "target": "river", "baseline": "pad"}
    assert_near(client.explain([TEXT, "a boat"], **options), predictor.explain([TEXT, "a boat"], **options))
    with pytest.raises(ValueError, match=r"`text_pairs` must be as many as `texts`\. Received: 1 and 2"):
        client.explain([TEXT], ["a", "b"])
    with pytest.raises(ValueError, match="`baseline` must be one of mask, pad"):
        client.explain([TEXT], baseline="x")


def test_a_task_of_several_is_explained(url, runs):
    options = {"method": "gradient_x_input"}
    for task in ("topic", "names"):
        client = bert_tf.Client(f"{url}/several", task=task)
        assert_near(client.explain([TEXT], **options), bert_tf.load(runs["several"], task).explain([TEXT], **options))


def test_the_description_has_what_runs_add(url):
    found = ask(f"{url.removesuffix('/v1/models')}/openapi.json").value["paths"]
    schema = found["/v1/models/{model}:generate"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["text"]
    assert "task" not in schema["properties"]  # no model for several tasks generates
    schema = found["/v1/models/{model}:explain"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["task"]["enum"] == ["names", "topic"]
    assert "/v1/models/{model}/versions/{version}:explain" in found


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("alone:explain", {"text": "a"}, 400, "'explain' needs the run beside the export, which the server was not"),
        ("none:generate", {"text": "a"}, 404, "Servable not found for request: Latest(none)"),
        ("seq2seq:explain", {"text": "a"}, 400, "The answers of the model cannot be explained."),
        ("classification:generate", {"text": "a"}, 400, "The model does not generate texts."),
        ("several:explain", {"text": "a"}, 400, "'task' must be one of topic, names. Received: None"),
        ("several:explain", {"text": "a", "task": ["x"]}, 400, "'task' must be one of topic, names. Received: ['x']"),
        ("several:generate", {"text": "a", "task": "topic"}, 400, "The model does not generate texts."),
        ("classification:explain", {"text": "a", "task": "x"}, 400, "'task' must be left out for a model of one task."),
        ("seq2seq:generate", {}, 400, "'text' must be a text. Received: None"),
        (
            "seq2seq:generate",
            {"text": "a", "beams": 2},
            400,
            "'beams' is not known. Known: text, stream, task, max_length,",
        ),
        ("seq2seq:generate", {"text": "a", "top_k": [1]}, 400, "'top_k' must be a number or a string. Received: [1]"),
        ("seq2seq:generate", {"text": "a" * 101}, 413, "A text must hold at most 100 bytes. Received: 101 in 'text'"),
        (
            "classification:explain",
            {"text": "a", "attention": 1},
            400,
            "'attention' must be true or false. Received: 1",
        ),
        ("classification:explain", {"text": "a", "method": "x"}, 400, "`method` must be"),
        ("classification:explain", {"text": "a", "text_pair": "b"}, 400, "`text_pairs` must be left out"),
    ],
)
def test_wrong_requests(url, path, body, status, error):
    answer = ask(f"{url}/{path}", body)
    assert answer.status == status
    assert answer.value["error"].startswith(error)


def test_wrong_runs(models, tmp_path):
    with pytest.raises(ValueError, match=r"`runs` must be FOLDER, or NAME=FOLDER .* Received: 'x'"):
        attach_runs(["x"], models)
    with pytest.raises(FileNotFoundError, match="`runs`"):
        attach_runs([f"alone={tmp_path / 'none'}"], models)


def test_a_client_over_grpc_neither_streams_nor_explains():
    pytest.importorskip("tensorflow_serving.apis")
    client = bert_tf.Client("grpc://localhost:1/v1/models/m")
    with pytest.raises(ValueError, match=r"`stream` needs an address of HTTP\. Received: grpc://"):
        next(client.stream("a"))
    with pytest.raises(ValueError, match=r"`explain` needs an address of HTTP\. Received: grpc://"):
        client.explain(["a"])
