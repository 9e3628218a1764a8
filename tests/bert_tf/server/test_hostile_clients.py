"""Whatever a client sends, it gets an answer or an error of the right status, and the server goes on."""

import asyncio
import base64
import http.client
import json
import select
import socket
import threading
import urllib.parse

import pytest
from small_server import TIMEOUT, answer_of, ask, serving, write_version

from bert_tf.server.models import ServedModel
from bert_tf.server.served_version import ServedVersion

pytest.importorskip("tensorflow_text")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

PREDICT = "/v1/models/graph:predict"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    write_version(folder, 1)
    return folder


@pytest.fixture(scope="module")
def url(folder, classifier_export):
    """The address of a server with the default limits."""
    with serving(ServedModel("graph", str(folder)), ServedModel("classifier", str(classifier_export))) as address:
        yield address


@pytest.fixture(autouse=True)
def goes_on(request):
    """After the test, the server still answers."""
    yield
    if "url" in request.fixturenames:
        address = request.getfixturevalue("url")
        assert ask(address + PREDICT, {"instances": ["a"]}).value["predictions"][0]["upper"] == "A"


def connect(url):
    parts = urllib.parse.urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT)


def exchange(url, *data, count=1):
    """Return the answers to bytes sent as they are, as many as `count`."""
    with connect(url) as connection:
        for part in data:
            connection.sendall(part)
        answers = []
        stream = connection.makefile("rb")
        for _ in range(count):
            response = http.client.HTTPResponse(_Reading(stream))
            response.begin()
            answers.append(answer_of(response))
        return answers


class _Reading:
    """A socket that many responses are read from."""

    def __init__(self, stream):
        self._stream = stream

    def makefile(self, mode):
        return _Open(self._stream)


class _Open:
    """A file that stays open when a response is closed, for the next one."""

    def __init__(self, stream):
        self._stream = stream

    def close(self):
        pass

    def __getattr__(self, name):
        return getattr(self._stream, name)


def post(body, path=PREDICT, headers=b""):
    length = b"content-length: %d\r\n" % len(body)
    return b"POST %s HTTP/1.1\r\nhost: here\r\n%s%s\r\n%s" % (path.encode(), headers, length, body)


BODIES = {
    "no JSON": b"instances",
    "truncated": b'{"instances": ["a"',
    "trailing comma": b'{"instances": ["a",]}',
    "single quotes": b"{'instances': ['a']}",
    "two documents": b'{"instances": ["a"]}{}',
    "null": b"null",
    "NUL": b"\x00",
    "NUL in a string": b'{"instances": ["a\x00"]}',
    "newline in a string": b'{"instances": ["a\n"]}',
    "invalid UTF-8": b'{"instances": ["\xff\xfe"]}',
    "overlong UTF-8": b'{"instances": ["\xc0\x80"]}',
    "UTF-16": '{"instances": ["a"]}'.encode("utf-16"),
    "half a surrogate pair": b'{"instances": ["\\ud800"]}',
    "half a surrogate pair in a name": b'{"instances": [{"\\ud800": "a"}]}',
    "half a surrogate pair in a signature": b'{"instances": ["a"], "signature_name": "\\udc00"}',
    "nested lists": b"[" * 100_000,
    "nested lists as a text": b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}",
    "nested objects": b'{"a":' * 50_000,
    "huge number": b'{"instances": [1e999]}',
    "many digits": b'{"instances": [' + b"9" * 100_000 + b"]}",
    "number for a name": b'{"instances": ["a"], "signature_name": 1e308}',
    "an object for a text": b'{"instances": [{"text": {"b64": 5}}]}',
    "another object": b'{"instances": [{"b64": "aGk=", "x": 1}]}',
    "a list for a body": b'["a"]',
    "empty rows": b'{"instances": [[]]}',
    "a number for rows": b'{"instances": 5}',
    "a long name": b'{"instances": ["a"], "signature_name": "' + b"x" * 100_000 + b'"}',
    "many names": json.dumps({"instances": [{f"n{number}": "a" for number in range(10_000)}]}).encode(),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies(url, name):
    answer = ask(url + PREDICT, BODIES[name])
    assert answer.status == 400
    assert list(answer.value) == ["error"]
    assert 0 < len(answer.value["error"]) < 400


PATHS = {
    "/v1/models/../../etc/passwd": 400,
    "/v1/models/..%2f..%2fetc%2fpasswd": 404,
    "/v1/models/%2e%2e": 404,
    "/v1/models/..": 404,
    "/v1/models/graph%00": 404,
    "/v1/models/%ff%fe": 404,
    "/v1/models/%zz": 404,
    "/v1/models/%": 404,
    "/v1/models//": 400,
    "/v1/models/graph/versions/-1": 400,
    "/v1/models/graph/versions/" + "9" * 5000: 400,
    "/v1/models/graph/versions/%31": 400,
    "/v1/models/graph/labels/..%2f1": 400,
    "/v1/models/" + "x" * 5000: 404,
    "/..": 404,
    "/v1/": 400,
    "//v1/models/graph": 404,
}


@pytest.mark.parametrize("path", PATHS)
def test_paths(url, path):
    (answer,) = exchange(url, f"GET {path} HTTP/1.1\r\nhost: here\r\n\r\n".encode())
    assert answer.status == PATHS[path]
    assert list(answer.value) == ["error"]
    assert "etc/passwd" not in answer.value["error"] or "not found" in answer.value["error"] or path[11:13] == ".."


HEADS = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "no version": (b"GET /\r\n\r\n", 400),
    "NUL": (b"GET /\x00 HTTP/1.1\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "a header without a name": (b"GET / HTTP/1.1\r\n: x\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 400),
    "a negative length": (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
    "a length of many digits": (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    "a long header": (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 200_000, 431),
    "many headers": (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x: y\r\n" * 40_000, 431),
    "a long path": (b"GET /" + b"a" * 200_000, 431),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads(url, name):
    data, status = HEADS[name]
    (answer,) = exchange(url, data)
    assert answer.status == status
    assert list(answer.value) == ["error"]
    assert answer.headers["connection"] == "close"


def test_a_body_over_the_limit(url):
    body = json.dumps({"instances": ["x" * 10 * 2**20]}).encode()
    error = {"error": f"A request must hold at most 8388608 bytes. Received: {len(body)}"}
    answer = ask(url + PREDICT, body)
    assert (answer.status, answer.value) == (413, error)
    # Without a length the server counts; the connection goes on to serve.
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[: 2**20], body[2**20 :])]
    head = b"POST /v1/models/graph:predict HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"
    last = post(b'{"instances": ["a"]}')
    first, second = exchange(url, head, *chunks, b"0\r\n\r\n", last, count=2)
    assert (first.status, second.status) == (413, 200)


def test_long_texts(url):
    text = "the river " * 10_001
    answer = ask(url + PREDICT, {"instances": [text]})
    assert answer.value == {"error": "A text must hold at most 100000 bytes. Received: 100010 in 'text'"}
    coded = {"b64": base64.b64encode(text.encode()).decode()}
    assert ask(url + PREDICT, {"inputs": {"text": [coded]}}).status == 413
    examples = {"signature_name": "examples", "examples": [{"text": [text[:100_000]]}], "context": {"n": [1, 2]}}
    assert ask(f"{url}/v1/models/classifier:classify", examples).status == 200
    assert ask(f"{url}/v1/models/classifier:classify", examples | {"context": {"x": ["", text]}}).status == 413
    assert ask(f"{url}/v1/models/classifier:predict", {"instances": [text[:100_000]]}).status == 200


def test_many_texts(url, folder):
    answer = ask(url + PREDICT, {"instances": [""] * 10_000})
    assert answer.value == {"error": "A request must hold at most 1024 texts. Received: 10000 in 'instances'"}
    assert ask(url + PREDICT, {"inputs": [""] * 1025}).status == 413
    examples = {"signature_name": "classes", "examples": [{"text": ""}] * 1025}
    assert ask(f"{url}/v1/models/graph:classify", examples).status == 413
    with serving(ServedModel("graph", str(folder)), max_texts=10_000) as address:
        assert len(ask(address + PREDICT, {"instances": [""] * 10_000}).value["predictions"]) == 10_000


def test_odd_texts_have_answers(url):
    odd = ["", " ", "\x00", "\u0000a\u0000", "\ufeff", "\u202e\u200d", "[CLS] [SEP] [MASK]", "é" * 1000, "漢" * 5000]
    odd += ["x" * 50_000, " " * 50_000, "\U0010ffff", "a\u0301" * 2000, "\n\t\r"]
    values = [*odd, {"b64": base64.b64encode(bytes(range(256))).decode()}, {"b64": ""}, {"b64": "/////w=="}]
    answer = ask(f"{url}/v1/models/classifier:predict", {"instances": values})
    assert answer.status == 200
    for prediction in answer.value["predictions"]:
        assert sum(prediction["probabilities"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "ids", [[[2, 10**6, 3]], [[]], [[0] * 5000], [[2**31 - 1]], [[2, 3], [2, 3]]], ids=lambda ids: str(ids)[:20]
)
def test_odd_token_ids_have_errors(url, ids):
    inputs = {"input_ids": ids, "input_mask": [[1]], "segment_ids": [[0]]}
    answer = ask(f"{url}/v1/models/classifier:predict", {"signature_name": "token_ids", "inputs": inputs})
    assert answer.status == 400
    assert answer.value["error"]


def test_requests_in_one_go_have_their_answers_in_order(url):
    texts = [f"text {'x' * number}" for number in range(20)]
    requests = [post(json.dumps({"instances": [text]}).encode()) for text in texts]
    answers = exchange(url, b"".join(requests), count=20)
    assert [answer.value["predictions"][0]["upper"] for answer in answers] == [text.upper() for text in texts]


def test_200_connections_at_once(url):
    async def client(number):
        parts = urllib.parse.urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        opened.append(number)
        await everyone.wait()
        body = json.dumps({"instances": ["x" * (number % 7 + 1)]}).encode()
        writer.write(post(body, headers=b"connection: close\r\n"))
        head, _, text = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return head.split(b" ", 2)[1], json.loads(text)["predictions"][0]["upper"]

    async def clients():
        tasks = [asyncio.create_task(client(number)) for number in range(200)]
        while len(opened) < 200:
            await asyncio.sleep(0.001)
        everyone.set()
        return await asyncio.wait_for(asyncio.gather(*tasks), TIMEOUT)

    opened, everyone = [], asyncio.Event()
    assert asyncio.run(clients()) == [(b"200", "X" * (number % 7 + 1)) for number in range(200)]


class Held:
    """Holds the model until it is told to go on, and keeps what it is asked."""

    def __init__(self, monkeypatch):
        self.started, self.go_on, self.asked = threading.Event(), threading.Event(), []
        run = ServedVersion.run

        def held(version, name, inputs):
            self.asked += [text.decode() for text in inputs["text"]]
            self.started.set()
            assert self.go_on.wait(TIMEOUT)
            return run(version, name, inputs)

        monkeypatch.setattr(ServedVersion, "run", held)


def test_what_clients_that_vanish_have_asked_is_not_computed(url, monkeypatch):
    held, answers = Held(monkeypatch), []

    def first():
        answers.append(ask(url + PREDICT, {"instances": ["first"]}))

    thread = threading.Thread(target=first)
    thread.start()
    assert held.started.wait(TIMEOUT)
    gone = [connect(url) for _ in range(20)]
    for number, connection in enumerate(gone):
        connection.sendall(post(json.dumps({"instances": [f"gone {number}"]}).encode()))
    while "bert_tf_queue_texts 20.0" not in ask(f"{url}/metrics").value:
        pass
    for connection in gone:
        connection.close()
    while "bert_tf_requests_held 2.0" not in ask(f"{url}/metrics").value:
        pass
    held.go_on.set()
    thread.join()
    assert answers[0].status == 200
    assert ask(url + PREDICT, {"instances": ["last"]}).status == 200
    assert held.asked == ["first", "last"]
    assert 'bert_tf_requests_total{model="graph",status="499",verb="predict"} 20.0' in ask(f"{url}/metrics").value


def test_a_client_that_vanishes_amid_its_request(url):
    for data in (b"", b"GET", post(b"{}")[:-1], post(b"x" * 100_000)[:-50_000]):
        with connect(url) as connection:
            connection.sendall(data)


def test_slow_senders(folder):
    with serving(ServedModel("graph", str(folder)), timeout=0.2) as url:
        body = b'{"instances": ["a"]}'
        for data in (b"", b"GET /healthz HTT", b"GET /healthz HTTP/1.1\r\nhost: x\r\n", post(body)[:-1]):
            (answer,) = exchange(url, data)
            assert answer.status == 408
            assert "must arrive within 0.2 s." in answer.value["error"]
        # So does the second request of a connection.
        first, second = exchange(url, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /heal", count=2)
        assert (first.status, second.status) == (200, 408)
        assert ask(f"{url}/healthz").status == 200


def read_all(connection):
    while connection.recv(65_536):
        pass


@pytest.mark.long  # the server waits for three of its time-outs
def test_clients_that_do_not_read_lose_their_connections(folder):
    body = json.dumps({"signature_name": "echo", "instances": ["x" * 99_000] * 60}).encode()
    with serving(ServedModel("graph", str(folder)), timeout=5.0) as url, connect(url) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(post(body))
        assert len(ask(url + PREDICT, body).value["predictions"]) == 60
        lost = select.poll()
        lost.register(connection, select.POLLERR | select.POLLHUP)
        assert lost.poll(TIMEOUT * 1000), "the server keeps the answer"
        with pytest.raises(ConnectionResetError):
            read_all(connection)
        assert ask(f"{url}/healthz").status == 200


def test_a_model_that_does_not_answer(folder, monkeypatch):
    with serving(ServedModel("graph", str(folder)), timeout=0.2) as url:
        held = Held(monkeypatch)
        answer = ask(url + PREDICT, {"instances": ["a"]})
        assert (answer.status, answer.value) == (504, {"error": "The model did not answer within 0.2 s."})
        # The next one waits for the first, which goes on.
        assert ask(url + PREDICT, {"instances": ["b"]}).status == 504
        held.go_on.set()
    assert held.asked == ["a"]


def test_full_servers_say_when_to_come_back(folder, monkeypatch):
    model = ServedModel("graph", str(folder))
    with serving(model, max_requests=3, max_queue_texts=2) as url:
        held, answers = Held(monkeypatch), []
        threads = [
            threading.Thread(target=lambda: answers.append(ask(url + PREDICT, {"instances": ["a", "b"]})))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        while "bert_tf_queue_texts 2.0" not in ask(f"{url}/metrics").value:
            pass
        full = ask(url + PREDICT, {"instances": ["c"]})
        assert (full.status, full.value) == (429, {"error": "2 texts wait for the model, and at most 2 may."})
        assert int(full.headers["retry-after"]) >= 1
        with connect(url) as third:  # it has not sent its body yet
            third.sendall(post(b"{}")[:-2])
            while (busy := ask(f"{url}/v1/models/graph")).status == 200:
                pass
            assert (busy.status, busy.headers["retry-after"]) == (503, "1")
            assert busy.value == {"error": "The server holds 3 requests, the most it may. Try again later."}
            assert ask(f"{url}/healthz").status == 200
        held.go_on.set()
        for thread in threads:
            thread.join()
        assert [answer.status for answer in answers] == [200, 200]


def test_errors_that_nobody_expected_do_not_end_the_server(url, monkeypatch):
    def broken(self, name, inputs):
        raise ZeroDivisionError("a secret")

    with monkeypatch.context() as patched:
        patched.setattr(ServedVersion, "run", broken)
        answer = ask(url + PREDICT, {"instances": ["a"]})
    assert (answer.status, answer.value) == (500, {"error": "Internal error: ZeroDivisionError"})
