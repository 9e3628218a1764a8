"""Requests drawn at random: each gets an answer or an error that names what is wrong, and none breaks the server."""

import asyncio
import http.client
import json
import threading
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_server import TIMEOUT, serving, write_version

from bert_tf.server.access_log import RequestRecord
from bert_tf.server.batching import Batcher
from bert_tf.server.errors import RequestError
from bert_tf.server.handling import Handling
from bert_tf.server.models import ServedModel, ServedModels
from bert_tf.server.options import ServerOptions
from bert_tf.server.paths import parse

pytest.importorskip("tensorflow_text")

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just({"b64": "aGk="})
VALUES = st.recursive(
    LEAVES, lambda items: st.lists(items, max_size=4) | st.dictionaries(st.text(), items, max_size=3), max_leaves=6
)
NAMES = ("serving_default", "types", "echo", "words", "classes", "numbers", "none")
TYPES = st.fixed_dictionaries(dict.fromkeys(("whole", "real", "yes", "long"), VALUES))
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "signature_name": st.sampled_from(NAMES) | VALUES,
        "instances": st.lists(st.text() | TYPES, max_size=4) | VALUES,
        "inputs": st.fixed_dictionaries({"text": st.lists(st.text()) | VALUES}) | TYPES | VALUES,
        "examples": st.lists(st.dictionaries(st.sampled_from(("text", "x", "n")), VALUES), max_size=3) | VALUES,
        "context": st.dictionaries(st.sampled_from(("text", "x")), VALUES, max_size=2) | VALUES,
    },
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    write_version(folder, 1)
    model = ServedModel("graph", str(folder))
    model.load()
    return model


def _answer(model, verb, body):
    """Return the JSON of an answer, or None for an error."""

    async def answer():
        options = ServerOptions()
        batcher = Batcher(options)
        try:
            path = parse("POST", f"/v1/models/graph:{verb}")
            return await Handling(ServedModels(model), batcher, options).answer(path, body, RequestRecord("POST", ""))
        finally:
            batcher.close()

    try:
        return json.loads(asyncio.run(answer()))
    except RequestError as caught:
        error = caught
    assert error.status in (400, 413)
    assert 0 < len(error.message) < 1000
    return None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(("predict", "classify", "regress")), REQUESTS)
def test_values(model, verb, request_value):
    _answer(model, verb, json.dumps(request_value).encode())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text('{}[]":,0123456789.eEnulltrefalsNI \\', max_size=40).map(str.encode))
def test_bytes(model, body):
    _answer(model, "predict", body)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(), min_size=1, max_size=5))
def test_texts_have_answers(model, values):
    answer = _answer(model, "predict", json.dumps({"instances": values}).encode())
    if any("\ud800" <= character <= "\udfff" for value in values for character in value) or "bad" in values:
        assert answer is None
    else:
        sizes = [row["sizes"][0] for row in answer["predictions"]]
        assert sizes == [len(value.encode()) for value in values]


@pytest.mark.long
def test_memory_is_flat(model):
    pytest.importorskip("uvicorn")
    bodies: list[dict] = [{"instances": ["x" * 100]}, {"instances": [1]}, {"inputs": ["a", "b" * 1000]}]
    bodies.append({"instances": [["a"]]})

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1])

    def client(url, requests):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=TIMEOUT)
        for number in range(requests):
            connection.request("POST", "/v1/models/graph:predict", json.dumps(bodies[number % len(bodies)]))
            response = connection.getresponse()
            statuses.add((number % len(bodies), response.status))
            response.read()
        connection.close()

    def ask(url, requests):
        clients = [threading.Thread(target=client, args=(url, requests // 8)) for _ in range(8)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()

    statuses = set()
    with serving(model) as url:
        ask(url, 4000)
        before = resident()
        ask(url, 20_000)
        after = resident()
    assert statuses == {(0, 200), (1, 400), (2, 200), (3, 400)}
    assert after < before * 1.05
