"""Small graphs behind the real server, and a client that shows all of an answer."""

import http.client
import json
import math
import urllib.parse
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from bert_tf.server.models import ServedModel, ServedModels
from bert_tf.server.options import ServerOptions
from bert_tf.server.running import Server, in_thread
from bert_tf.server.tls import Tls

TIMEOUT = 60.0
"""A guard: no test waits for it."""


class Graph(tf.Module):
    """A graph with inputs and outputs of several types, which needs no weights but `scale`."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = tf.Variable(float(scale))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def lengths(self, text):
        sizes = tf.cast(tf.strings.length(text), tf.float32)
        # A text named "bad" is what the graph refuses.
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(text != "bad"), ["a bad text"])]):
            return {"upper": tf.strings.upper(text), "sizes": tf.stack([sizes, sizes * self.scale], axis=1)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 2], tf.int32, "whole"),
            tf.TensorSpec([None], tf.float32, "real"),
            tf.TensorSpec([None], tf.bool, "yes"),
            tf.TensorSpec([None], tf.int64, "long"),
        ]
    )
    def types(self, whole, real, yes, long):
        return {
            "whole": whole * 2,
            "real": real,
            "yes": tf.logical_not(yes),
            "long": long + 1,
            "sum": tf.reduce_sum(real),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def echo(self, text):
        return {"text_bytes": text}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def words(self, text):
        return {"words": tf.strings.split(text).to_tensor()}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def classes(self, inputs):
        parsed = tf.io.parse_example(inputs, {"text": tf.io.FixedLenFeature([], tf.string)})
        scores = self.lengths(parsed["text"])["sizes"]
        return {"classes": tf.broadcast_to(["once", "scaled"], tf.shape(scores)), "scores": scores}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
    def numbers(self, inputs):
        schema = {"x": tf.io.FixedLenFeature([], tf.float32), "n": tf.io.FixedLenFeature([], tf.int64, 0)}
        parsed = tf.io.parse_example(inputs, schema)
        return {"outputs": parsed["x"] + tf.cast(parsed["n"], tf.float32)}


def write_version(folder: Path, number: int, scale: float = 1.0) -> Path:
    """Write a version of a graph, which appears by one rename, as those of exports do."""
    graph, temporary = Graph(scale), folder / f"tmp-{number}"
    names = ("types", "echo", "words", "classes", "numbers")
    signatures = {"serving_default": graph.lengths, **{name: getattr(graph, name) for name in names}}
    tf.saved_model.save(graph, str(temporary), signatures=signatures)
    return temporary.rename(folder / str(number))


class Answer(NamedTuple):
    """An answer: its status, its headers with names in lower case, and the value of its JSON, or its text."""

    status: int
    headers: dict[str, str]
    value: Any


def ask(url: str, body: Any = None, method: str | None = None, **headers: str) -> Answer:
    """Return the answer to a request on a connection of its own.

    Args:
        url: the address and the path, percent-encoded.
        body: bytes, or a value to send as JSON; None for a GET request.
        method: None for GET or POST.
        **headers: headers, with `_` for `-`.
    """
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method or ("GET" if body is None else "POST"), parts.path, data, sent)
        return answer_of(connection.getresponse())
    finally:
        connection.close()


def answer_of(response: http.client.HTTPResponse) -> Answer:
    """Return all of a response."""
    text, headers = response.read(), {name.lower(): value for name, value in response.getheaders()}
    is_json = headers.get("content-type") == "application/json" and text
    return Answer(response.status, headers, json.loads(text) if is_json else text.decode())


@contextmanager
def serving(*models: ServedModel, **options: Any):
    """Serve models while the block runs, and yield the address."""
    with serving_both(*models, grpc_port=None, **options) as (url, _):
        yield url


@contextmanager
def serving_both(*models: ServedModel, grpc_port: int | None = 0, tls: Tls | None = None, **options: Any):
    """Serve models while the block runs, and yield the address of REST and that of gRPC."""
    server = Server(ServedModels(*models), ServerOptions(**options), grpc_port=grpc_port, tls=tls)
    for model in models:
        model.load()
    with in_thread(server) as url:
        yield url, server.grpc_url


def assert_near(found: Any, expected: Any) -> None:
    """Check that values are equal, and numbers nearly."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_near(one, other)
    elif isinstance(expected, float):
        assert found == expected or math.isclose(found, expected, rel_tol=1e-4, abs_tol=1e-5)
    else:
        assert found == expected
