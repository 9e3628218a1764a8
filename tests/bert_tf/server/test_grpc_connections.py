"""Clients of gRPC that do not read, or do not send, keep neither memory nor the place of others for ever."""

import dataclasses
import re
import socket
import struct

import pytest
from small_grpc import Services, grpc, predict
from small_server import TIMEOUT, ask, serving_both, write_version

from bert_tf.server import grpc_service
from bert_tf.server.models import ServedModel

DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8
END_STREAM, END_HEADERS = 1, 4
LARGEST = 2**31 - 1
ENDED = re.compile(r'bert_tf_requests_total{model="graph",status="(?:200|499)",verb="predict"} (.*)')
ECHO = 'model_spec { name: "graph" signature_name: "echo" }'


def frame(kind, flags, stream, payload):
    """Return a frame of HTTP/2 (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def preface(window):
    """Return the beginning of a connection whose streams may hold so many bytes that were not asked for."""
    settings = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, window))  # SETTINGS_INITIAL_WINDOW_SIZE
    connection = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", LARGEST - 65_535))
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + connection


def head():
    """Return the head of a request, in literals of HPACK (RFC 7541, section 6.2.2)."""
    fields = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": b"/tensorflow.serving.PredictionService/Predict",
        b":authority": b"here",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
    }
    literals = (b"\0%c%s%c%s" % (len(name), name, len(value), value) for name, value in fields.items())
    return frame(HEADERS, END_HEADERS, 1, b"".join(literals))


def body(request):
    text = request.SerializeToString()
    data = b"\0" + struct.pack(">I", len(text)) + text
    parts = [data[start : start + 16_384] for start in range(0, len(data), 16_384)]
    last = len(parts) - 1
    return b"".join(frame(DATA, END_STREAM * (index == last), 1, part) for index, part in enumerate(parts))


def connect(url, data):
    host, _, port = url.removeprefix("grpc://").rpartition(":")
    connection = socket.socket()
    connection.settimeout(TIMEOUT)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    connection.sendall(data)
    return connection


def read_all(connection):
    """Return the number of bytes that come until the server ends the connection."""
    size = 0
    try:
        while part := connection.recv(65_536):
            size += len(part)
    except ConnectionResetError:
        pass
    return size


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    write_version(folder, 1)
    return folder


@pytest.fixture(autouse=True)
def short_connections(monkeypatch):
    """Connections end as if the time-out were a second. Answers keep the time that a busy machine may take."""
    options_of = grpc_service.channel_options
    monkeypatch.setattr(
        grpc_service, "channel_options", lambda options: options_of(dataclasses.replace(options, timeout=1.0))
    )


def require_answer(services):
    """Ask until there is an answer: a request that takes as long as a connection lasts is ended, too."""
    while True:
        try:
            assert services.prediction.Predict(predict(text=["a"]), timeout=TIMEOUT).outputs
            return
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise


def test_clients_that_do_not_read_lose_their_answers(folder):
    request = predict(ECHO, text=["a"] * 200)
    request.inputs["text"].string_val[:] = [b"a" * 60_000]  # the last value is repeated
    states = []
    with serving_both(ServedModel("graph", str(folder))) as (url, grpc_url):
        assert ask(f"{url}/v1/models/graph:predict", {"signature_name": "echo", "instances": ["a"]}).status == 200
        services = Services(grpc_url)
        services.channel.subscribe(states.append, try_to_connect=True)
        # The first does not read. The second reads, but its window has no room for any byte of an answer.
        with (
            connect(grpc_url, preface(LARGEST) + head() + body(request)) as first,
            connect(grpc_url, preface(0) + head() + body(request)) as second,
        ):
            assert read_all(second) < 10_000
            while sum(map(float, ENDED.findall(ask(f"{url}/metrics").value))) < 3:  # with the one by HTTP
                pass
            assert "bert_tf_requests_held 1.0" in ask(f"{url}/metrics").value  # this one
            assert read_all(first) < 200 * 60_000
        # Other clients follow to a new connection.
        while grpc.ChannelConnectivity.IDLE not in states:
            assert ask(f"{url}/healthz").status == 200
        require_answer(services)
        services.channel.close()


def test_requests_that_do_not_arrive_have_a_limit_and_lose_their_connections(folder):
    refused = []
    with serving_both(ServedModel("graph", str(folder)), max_requests=1) as (_, url):
        services = Services(url)
        while not refused:  # a busy machine may see the heads late
            with connect(url, preface(LARGEST) + head()) as first, connect(url, preface(LARGEST) + head()) as second:
                for _ in range(20):
                    try:
                        services.prediction.Predict(predict(text=["a"]), timeout=TIMEOUT)
                    except grpc.RpcError as error:
                        refused.append((error.code().name, error.details()))
                        break
                read_all(first)
                read_all(second)
        assert refused == [("RESOURCE_EXHAUSTED", "Concurrent RPC limit exceeded!")]
        require_answer(services)
        services.channel.close()
