"""The gRPC interface beside the other one: counted and logged together, busy, late, on a taken port, over TLS."""

import contextlib
import json
import threading

import pytest
from small_grpc import Services, error_of, predict
from small_server import TIMEOUT, ask, serving_both, write_version

import bert_tf
from bert_tf.server.models import ServedModel, ServedModels
from bert_tf.server.options import ServerOptions
from bert_tf.server.running import Server, in_thread
from bert_tf.server.served_version import ServedVersion
from bert_tf.server.tls import read_tls


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    for number in (1, 2, 10):
        write_version(folder, number, scale=number)
    return folder


def test_both_protocols_are_counted_and_logged(folder, tmp_path):
    log = tmp_path / "access.jsonl"
    model = ServedModel("graph", str(folder))
    with serving_both(model, api_keys=["secret"], access_log=str(log), max_batch_texts=4) as (url, grpc_url):
        services = Services(grpc_url)
        request = predict(text=["private"] * 6)
        assert error_of(services.prediction.Predict, request)[0] == "UNAUTHENTICATED"
        for name, value in (("authorization", "Bearer secret"), ("x-api-key", "secret")):
            answer = services.prediction.Predict(request, metadata=[(name, value)])
            assert len(answer.outputs["upper"].string_val) == 6
        counted = 'bert_tf_requests_total{model="graph",status="200",verb="predict"} 2.0'
        while counted not in (metrics := ask(f"{url}/metrics", Authorization="Bearer secret").value):
            pass  # a request is counted when its answer has left
        services.channel.close()
    lines = [line for line in map(json.loads, log.read_text().splitlines()) if line["path"] != "/metrics"]
    path = "/tensorflow.serving.PredictionService/Predict"
    assert {(line["method"], line["path"], line["client"]) for line in lines} == {("GRPC", path, "127.0.0.1")}
    assert [(line["status"], line["verb"], line["texts"]) for line in lines] == [
        (401, "", 0),
        *[(200, "predict", 6)] * 2,
    ]
    assert lines[1]["bytes"] == request.ByteSize()
    assert "private" not in log.read_text()
    assert "bert_tf_batch_texts_count 4.0" in metrics  # two of each request


def hold_answers(monkeypatch):
    """Let models wait with their answers; return the events that one has begun and that they may go on."""
    started, go_on = threading.Event(), threading.Event()
    run = ServedVersion.run

    def slow(self, name, inputs):
        started.set()
        assert go_on.wait(TIMEOUT)
        return run(self, name, inputs)

    monkeypatch.setattr(ServedVersion, "run", slow)
    return started, go_on


def test_a_busy_server_refuses_and_a_deadline_ends(folder, monkeypatch):
    started, go_on = hold_answers(monkeypatch)
    model, request = ServedModel("graph", str(folder)), predict(text=["a"])
    with serving_both(model, max_requests=1) as (_, url):
        services = Services(url)
        first = services.prediction.Predict.future(request)
        assert started.wait(TIMEOUT)
        client = bert_tf.Client(f"{url}/v1/models/graph", retries=1)
        waits = []
        client._transport.wait = waits.append
        with pytest.raises(OSError, match="The server holds 1 requests, the most it may"):
            client.fill_mask(["a"])
        assert waits == [1]
        go_on.set()
        assert list(first.result().outputs["upper"].string_val) == [b"A"]
        services.channel.close()
    go_on.clear()
    with serving_both(model, timeout=0.2) as (_, url):
        services = Services(url)
        refused = ("DEADLINE_EXCEEDED", "The model did not answer within 0.2 s.")
        assert error_of(services.prediction.Predict, request) == refused
        go_on.set()
        services.channel.close()


def test_both_protocols_end_together(folder, monkeypatch):
    model = ServedModel("graph", str(folder))
    model.load()
    started, go_on = hold_answers(monkeypatch)
    server = Server(ServedModels(model), ServerOptions(), grpc_port=0)
    answers = []
    with in_thread(server) as url:
        last = threading.Thread(
            target=lambda: answers.append(ask(f"{url}/v1/models/graph:predict", {"instances": ["a"]}))
        )
        last.start()
        assert started.wait(TIMEOUT)
        server.stop()
        client = bert_tf.Client(f"{server.grpc_url}/v1/models/graph", retries=0)
        with contextlib.suppress(OSError):  # gRPC ends although HTTP still answers
            while True:
                client._transport.signatures()
        assert last.is_alive()
        go_on.set()
        last.join()
    assert answers[0].value["predictions"][0]["upper"] == "A"


def test_a_client_outlives_a_restart(folder):
    model = ServedModel("graph", str(folder))
    with serving_both(model, max_request_bytes=1000) as (_, url):
        client = bert_tf.Client(f"{url}/v1/models/graph", retries=0)
        assert "classes" in client.signatures
        with pytest.raises(ValueError, match="Received message larger than max"):
            client._transport.predict("echo", {"text": ["a" * 1000]}, client.signatures["echo"])
    with pytest.raises(OSError, match=client.url):
        client._transport.signatures()
    with serving_both(model, grpc_port=int(url.rpartition(":")[2])):
        while True:
            try:
                assert client._transport.signatures() == client.signatures
                break
            except OSError:  # gRPC looks for the server once a second
                continue


def test_the_port_must_be_free(folder):
    model = ServedModel("graph", str(folder))
    with serving_both(model) as (_, url):
        port = int(url.rpartition(":")[2])
        with pytest.raises(OSError, match=rf"`grpc_port`: the server cannot listen at 127\.0\.0\.1:{port}"):
            Server(ServedModels(model), ServerOptions(), grpc_port=port)


def test_tls(folder, tmp_path):
    import ssl
    import subprocess

    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"]
    more = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *more], cwd=tmp_path, capture_output=True, check=True)
    certificate = str(tmp_path / "cert.pem")
    both = tmp_path / "both.pem"
    both.write_bytes((tmp_path / "key.pem").read_bytes() + (tmp_path / "cert.pem").read_bytes())
    with serving_both(ServedModel("graph", str(folder)), tls=read_tls(str(both))) as (_, url):
        assert url.startswith("grpcs://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=certificate)
        client = bert_tf.Client(f"{url}/v1/models/graph", tls=trusting)
        assert "serving_default" in client.signatures
        with pytest.raises(OSError, match="graph: "):
            _ = bert_tf.Client(f"{url.replace('grpcs', 'grpc')}/v1/models/graph", retries=0).signatures
