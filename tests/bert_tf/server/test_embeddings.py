"""`/v1/embeddings` gives the vectors of the predictor."""

import base64

import numpy as np
import pytest
import tensorflow as tf
from small_server import ask, serving, write_version

from bert_tf.server.models import ServedModel

pytest.importorskip("tensorflow_text")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


class Embedder(tf.Module):
    """A graph that embeds: the length of a text and its negative."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def embedding(self, text):
        sizes = tf.cast(tf.strings.length(text), tf.float32) / 3
        return {"embedding": tf.stack([sizes, -sizes], axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def lengths(self, text):
        return {"sizes": tf.strings.length(text)}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    module = Embedder()
    tf.saved_model.save(module, str(folder / "encoder" / "1"), signatures={"serving_default": module.embedding})
    signatures = {"serving_default": module.lengths, "embedding": module.embedding}
    tf.saved_model.save(module, str(folder / "trained" / "7"), signatures=signatures)
    write_version(folder / "graph", 1)
    models = [ServedModel(name, str(folder / name)) for name in ("encoder", "trained", "graph")]
    with serving(*models, max_texts=4, max_characters=10) as address:
        yield address


@pytest.mark.parametrize("model", ["encoder", "trained"])
def test_embeddings(url, model):
    answer = ask(f"{url}/v1/embeddings", {"model": model, "input": ["abc", "", "é"], "user": "somebody"})
    assert answer.status == 200
    vectors = [np.array([size, -size], np.float32) / 3 for size in (3, 0, 2)]
    assert answer.value == {
        "object": "list",
        "model": model,
        "data": [
            {"object": "embedding", "index": index, "embedding": [float(str(number)) for number in vector]}
            for index, vector in enumerate(vectors)
        ],
    }


def test_one_text_and_base64(url):
    request = {"model": "encoder", "input": "abcd", "encoding_format": "base64"}
    (item,) = ask(f"{url}/v1/embeddings", request).value["data"]
    found = np.frombuffer(base64.b64decode(item["embedding"]), "<f4")
    np.testing.assert_array_equal(found, np.array([4, -4], np.float32) / 3)


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"model": None}, 400, "'model' must be the name of a model. Received: None"),
        ({"model": "none"}, 404, "Servable not found for request: Latest(none)"),
        (
            {"model": "graph"},
            400,
            "Model 'graph' does not embed: none of its signatures returns 'embedding' for 'text'.",
        ),
        ({"input": None}, 400, "'input' must be a text or a list of texts. Received: None"),
        ({"input": []}, 400, "'input' must be a text or a list of texts. Received: []"),
        ({"input": [1, 2]}, 400, "'input' must be a text or a list of texts. Received: [1, 2]"),
        ({"encoding_format": "int8"}, 400, "'encoding_format' must be float or base64. Received: 'int8'"),
        ({"dimensions": 2}, 400, "'dimensions' must be left out: vectors have one size. Received: 2"),
        ({"input": ["a"] * 5}, 413, "A request must hold at most 4 texts. Received: 5 in 'input'"),
        ({"input": "a" * 11}, 413, "A text must hold at most 10 bytes. Received: 11 in 'input'"),
    ],
)
def test_wrong_requests(url, change, status, error):
    answer = ask(f"{url}/v1/embeddings", {"model": "encoder", "input": "a"} | change)
    assert (answer.status, answer.value) == (status, {"error": error})


def test_other_methods_are_refused(url):
    assert ask(f"{url}/v1/embeddings").value == {"error": "Malformed request: GET /v1/embeddings"}
    assert ask(f"{url}/v1/embeddings", b"{").status == 400
