"""Health, metrics and the access log of a server."""

import json

import pytest
from small_server import ask, serving, write_version

from bert_tf.server.models import ServedModel

pytest.importorskip("tensorflow_text")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
prometheus_parser = pytest.importorskip("prometheus_client.parser")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    write_version(folder, 3)
    return folder


def _metrics(url, **headers):
    answer = ask(f"{url}/metrics", **headers)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = prometheus_parser.text_string_to_metric_families(answer.value)
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value for family in families for sample in family.samples
    }


def test_metrics(folder):
    with serving(ServedModel("graph", str(folder))) as url:
        ask(f"{url}/v1/models/graph:predict", {"instances": ["a", "b", "c"]})
        ask(f"{url}/v1/models/graph:predict", {"instances": [1]})
        ask(f"{url}/v1/models/made up:predict".replace(" ", "%20"), {"instances": ["a"]})
        ask(f"{url}/v1/models/graph")
        found = _metrics(url)
        other = ServedModel("other", str(folder))
        with serving(other) as second:
            assert ("bert_tf_model_version", "graph") not in _metrics(second)
    assert found["bert_tf_requests_total", "200", "graph", "predict"] == 1
    assert found["bert_tf_requests_total", "400", "graph", "predict"] == 1
    assert found["bert_tf_requests_total", "200", "graph", "status"] == 1
    # The names that clients make up are not kept.
    assert found["bert_tf_requests_total", "", "404", "predict"] == 1
    assert found["bert_tf_request_seconds_count", "graph", "predict"] == 2
    assert found["bert_tf_texts_total", "graph", "predict"] == 3
    assert found["bert_tf_batch_texts_sum",] == 3
    assert found["bert_tf_batch_seconds_count",] == 1
    assert found["bert_tf_queue_texts",] == 0
    assert found["bert_tf_requests_held",] == 1
    assert found["bert_tf_model_version", "graph"] == 3
    assert found["process_resident_memory_bytes",] > 2**20


def test_health(folder):
    model = ServedModel("graph", str(folder))
    with serving(model, api_keys=["secret"]) as url:
        for path in ("/healthz", "/readyz"):
            answer = ask(url + path)  # without a key
            assert (answer.status, answer.value) == (200, {"status": "ok"})
        loaded, model.loaded = model.loaded, {}
        answer = ask(f"{url}/readyz")
        assert (answer.status, answer.value) == (503, {"error": "No version answers of: graph."})
        assert answer.headers["retry-after"] == "1"
        model.loaded = loaded
        assert ask(f"{url}/metrics").status == 401
        assert _metrics(url, Authorization="Bearer secret")["bert_tf_requests_total", "", "", "401"] == 1


def test_keys(folder):
    with serving(ServedModel("graph", str(folder)), api_keys=["one", "two"]) as url:
        path = f"{url}/v1/models/graph"
        for headers in ({"Authorization": "Bearer two"}, {"Authorization": "bearer one"}, {"X_API_Key": "one"}):
            assert ask(path, **headers).status == 200
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Basic one"}, {"X_API_Key": "three"}):
            answer = ask(path, {"instances": ["a"]}, **headers)
            assert (answer.status, answer.value) == (401, {"error": "A key is needed: Authorization: Bearer KEY."})
            assert answer.headers["www-authenticate"] == "Bearer"


def test_the_access_log_holds_no_texts_and_no_keys(folder, tmp_path):
    log = tmp_path / "access.jsonl"
    with serving(ServedModel("graph", str(folder)), access_log=str(log), api_keys=["secret"]) as url:
        headers = {"Authorization": "Bearer secret"}
        ask(f"{url}/v1/models/graph:predict", {"instances": ["private", "text"]}, **headers)
        ask(f"{url}/v1/models/graph:predict?q=private", b"private", **headers)
        ask(f"{url}/v1/models/none", **headers)
        ask(f"{url}/healthz")
    text = log.read_text()
    assert "private" not in text
    assert "secret" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["status"] for line in lines] == [200, 400, 404, 200]
    first = lines[0]
    assert first.pop("time").endswith("+00:00")
    assert first.pop("seconds") > 0
    assert first == {
        "method": "POST",
        "path": "/v1/models/graph:predict",
        "client": "127.0.0.1",
        "model": "graph",
        "version": 3,
        "verb": "predict",
        "texts": 2,
        "bytes": len('{"instances": ["private", "text"]}'),
        "status": 200,
    }
    assert (lines[2]["model"], lines[2]["verb"], lines[2]["texts"]) == ("", "status", 0)


def test_a_log_that_cannot_be_written_does_not_stop_requests(folder, tmp_path, capsys):
    with serving(ServedModel("graph", str(folder)), access_log=str(tmp_path)) as url:
        assert ask(f"{url}/v1/models/graph").status == 200
    assert "warning: the access log:" in capsys.readouterr().err


def test_pages_of_other_origins_may_ask_only_if_they_are_named(folder):
    origin = {"Origin": "https://page.example"}
    preflight = origin | {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type"}
    with serving(ServedModel("graph", str(folder))) as url:
        assert "access-control-allow-origin" not in ask(f"{url}/v1/models/graph", **origin).headers
        assert ask(f"{url}/v1/models/graph", method="OPTIONS", **preflight).status == 405
    with serving(ServedModel("graph", str(folder)), cors_origins=["https://page.example"], api_keys=["k"]) as url:
        allowed = ask(f"{url}/v1/models/graph", method="OPTIONS", **preflight)
        assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (200, "https://page.example")
        refused = ask(f"{url}/v1/models/graph", method="OPTIONS", **(preflight | {"Origin": "https://other.example"}))
        assert refused.status == 400
        answer = ask(f"{url}/v1/models/graph", Authorization="Bearer k", **origin)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://page.example")
