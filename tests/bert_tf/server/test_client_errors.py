"""A client names the address and the reason when a server is away or silent, or is not one for models."""

import contextlib
import socket
from threading import Thread

import pytest

import bert_tf

pytest.importorskip("tensorflow_serving.apis")


@contextlib.contextmanager
def answering(data, *, silent=False):
    """Answer each connection with bytes, and end it unless the server is silent; yield host and port."""
    held = []

    def answer():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                held.append(connection)
                if not silent:
                    connection.recv(65_536)
                    connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)  # closing it with unread data would reset it

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=answer)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


def client_of(scheme, address, **options):
    """Return a client that must not wait, and its address."""
    url = f"{scheme}://{address}/v1/models/m"
    client = bert_tf.Client(url, **options)

    def wait(seconds):
        raise AssertionError(f"the client waits for {seconds} s")

    client._transport.wait = wait
    return client, url


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
ANSWERS = {
    "none": (b"", "", "Remote end closed connection without response"),
    "part of a head": (HEAD[:5], "", "the answer must be one of HTTP. Received: 'HTTP/'"),
    "part of a body": (HEAD % 20 + b'{"met', "", "the server closed the connection before its answer had ended"),
    "no HTTP": (b"\0\0\x1e\4\0", "", r"the answer must be one of HTTP. Received: '\x00\x00\x1e\x04\x00'"),
    "no JSON": (HEAD % 6 + b"<html>", "/metadata", "the answer must be JSON. Received: '<html>'"),
    "no signatures": (HEAD % 2 + b"{}", "/metadata", "the answer must hold signatures. Received: {}"),
    "a list": (HEAD % 2 + b"[]", "/metadata", "the answer must hold signatures. Received: []"),
    "no page": (b"HTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\nNo", "", "404 No"),
    "an error": (b"HTTP/1.1 500 No\r\ncontent-length: 15\r\n\r\n{" + b'"error": "No"}', "", "No"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_that_are_not_those_of_a_server(name):
    data, path, message = ANSWERS[name]
    with answering(data) as address:
        client, url = client_of("http", address)
        with pytest.raises(OSError) as error:  # noqa: PT011  the whole message is compared
            client.classify(["a"])
    assert str(error.value) == f"{url}{path}: {message}"


def test_a_stream_that_ends_too_early():
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b'14\r\ndata: {"text": "a"}\n\r\n'
    for data in (head + chunk, head + chunk + b"0\r\n\r\n", head + chunk + b"14\r\ndata"):
        with answering(data) as address:
            client, url = client_of("http", address)
            parts = client.stream("a")
            assert next(parts) == "a"
            with pytest.raises(OSError, match=rf"{url}: the server closed the connection before"):
                next(parts)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_server_that_is_silent(scheme):
    with answering(b"", silent=True) as address:
        client, url = client_of(scheme, address, timeout=0.05)
        with pytest.raises(OSError) as error:  # noqa: PT011  the whole message is compared
            client.classify(["a"])
    assert str(error.value) == f"{url}: the server did not answer within 0.05 s, the `timeout` of the client"


def test_a_server_that_does_not_speak_grpc():
    for data in (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"):
        with answering(data) as address:
            client, url = client_of("grpc", address, timeout=60.0)
            with pytest.raises(OSError, match=rf"{url}: \w"):
                client.classify(["a"])
