"""The client answers as the predictor of the same export does."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from small_model import write_run
from small_server import assert_near, serving_both, write_version

import bert_tf
from bert_tf.server.models import ServedModel

pytest.importorskip("tensorflow_text")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("tensorflow_serving.apis")

TEXTS = ["The old miller.", "", "A young sailor forgot the letter, near the river", "naïve 漢字"]
LONG = pytest.mark.long
CASES = {
    "classification": ({}, lambda model: model.classify(TEXTS)),
    "pairs": ({"pairs": True}, lambda model: model.classify(TEXTS, TEXTS[::-1])),
    "multi_label": ({}, lambda model: model.classify(TEXTS)),
    "regression": ({}, lambda model: model.score(TEXTS)),
    "tagging": ({}, lambda model: model.tag(TEXTS)),
    "question_answering": ({}, lambda model: model.answer(["who?", "", "where"], ["the old miller", "a", "river"])),
    "unanswerable": (
        {"num_layers": 2, "options": {"unanswerable": True, "null_threshold": -0.75}},
        lambda model: model.answer(["who saw the boat", "the miller"], [TEXTS[0], TEXTS[2]]),
    ),
    "pretraining": ({}, lambda model: model.fill_mask(["the [MASK] [MASK]", "a [MASK] river"])),
    "seq2seq": ({}, lambda model: model.generate(TEXTS[::2])),
    "several": ({"export": {"num_return": 2, "beams": 3}}, lambda model: model.generate(TEXTS[::2])),
    "drawn": ({"export": {"top_k": 5}}, lambda model: model.generate(TEXTS[::2], seed=7)),
}
TASKS = {
    "pairs": "classification",
    "unanswerable": "question_answering",
    "several": "seq2seq",
    "drawn": "seq2seq",
}


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_answers_are_those_of_the_predictor(name, tmp_path):
    from bert_tf.serving.export import export_saved_model
    from bert_tf.serving.options import ExportOptions

    options, ask = CASES[name]
    exported = ExportOptions(**options.get("export", {}))
    of_run = {name: value for name, value in options.items() if name != "export"}
    run = write_run(tmp_path / "run", TASKS.get(name, name), **of_run)
    export_saved_model(str(run), str(tmp_path / "export"), exported)
    with serving_both(ServedModel("model", str(tmp_path / "export"))) as urls:
        client, over_grpc = (bert_tf.Client(f"{url}/v1/models/model") for url in urls)
        predictor = bert_tf.load(str(tmp_path / "export"))
        assert_near(ask(client), ask(predictor))
        assert_near(ask(over_grpc), ask(predictor))
        if name == "pretraining":
            np.testing.assert_allclose(over_grpc.embed(TEXTS), predictor.embed(TEXTS), atol=1e-5)
            np.testing.assert_allclose(client.embed(TEXTS), predictor.embed(TEXTS), atol=1e-5)
            assert_near(client.fill_mask(["[MASK]"], 2), predictor.fill_mask(["[MASK]"], 2))
            with pytest.raises(ValueError, match=r"`top_k` must be from 1 to 5, .* of the export\. Received: 6"):
                client.fill_mask(["[MASK]"], 6)


@pytest.fixture(scope="module")
def urls(classifier_export, tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    write_version(folder, 1)
    models = [ServedModel("classifier", str(classifier_export), {"best": 1}), ServedModel("graph", str(folder))]
    with serving_both(*models, api_keys=["secret"], max_texts=8) as addresses:
        yield [f"{address}/v1/models" for address in addresses]


@pytest.fixture(params=["rest", "grpc"])
def url(request, urls):
    """The address of the models for each protocol."""
    return urls[request.param == "grpc"]


def test_a_classifier(url, classifier_export):
    expected = bert_tf.load(str(classifier_export)).classify(TEXTS)
    for path in ("", "/versions/1", "/labels/best"):
        assert_near(bert_tf.Client(f"{url}/classifier{path}", api_key="secret").classify(TEXTS), expected)
    in_parts = bert_tf.Client(f"{url}/classifier", api_key="secret", batch_size=3)
    assert_near(in_parts.classify(TEXTS), expected)
    assert in_parts.classify([]) == []


def test_wrong_calls(url):
    client = bert_tf.Client(f"{url}/classifier", api_key="secret")
    with pytest.raises(ValueError, match=r"`texts\[1\]` must be a text\. Received: 5"):
        client.classify(["a", 5])
    with pytest.raises(ValueError, match=r"`classify` needs `texts` for this model\. Received: text, text_pair"):
        client.classify(["a"], ["b"])
    for ask in (client.score, client.tag, client.fill_mask, client.embed):
        with pytest.raises(ValueError, match=r"needs a model that returns .*\. Received: (http|grpc)://"):
            ask(["a"])
    with pytest.raises(ValueError, match=r"`answer` needs a model that returns answers"):
        client.answer(["a"], ["b"])
    with pytest.raises(ValueError, match=r"`classify` needs a model that returns probabilities"):
        bert_tf.Client(f"{url}/graph", api_key="secret").classify(["a"])


def test_errors_of_the_server(url):
    with pytest.raises(PermissionError, match="A key is needed"):
        bert_tf.Client(f"{url}/classifier").classify(["a"])
    with pytest.raises(FileNotFoundError, match=r"Servable not found for request: Specific\(classifier, 2\)"):
        bert_tf.Client(f"{url}/classifier/versions/2", api_key="secret").classify(["a"])
    with pytest.raises(ValueError, match=r"A request must hold at most 8 texts\. Received: 9"):
        bert_tf.Client(f"{url}/classifier", api_key="secret").classify(["a"] * 9)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_server_that_is_not_there(scheme):
    with pytest.raises(OSError, match=rf"{scheme}://127\.0\.0\.1:1/v1/models/m: .*refused"):
        bert_tf.Client(f"{scheme}://127.0.0.1:1/v1/models/m").classify(["a"])


@pytest.mark.parametrize(
    "url", ["", "localhost:8501", "http://localhost:8501", "http://x/v1/models/a:predict", "file:///a", "grpc://x:1"]
)
def test_wrong_addresses(url):
    with pytest.raises(ValueError, match=r"`url` must be the address of a model, such as http://.*\. Received: "):
        bert_tf.Client(url)


def test_a_busy_server_is_asked_again():
    statuses = [(429, "7"), (503, None), (503, "999"), (200, None)]

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self):
            status, after = statuses.pop(0)
            self.send_response(status)
            if after:
                self.send_header("Retry-After", after)
            self.end_headers()
            self.wfile.write(b'{"metadata": {"signature_def": {"signature_def": {}}}, "error": "busy"}')

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        client = bert_tf.Client(f"http://127.0.0.1:{server.server_port}/v1/models/m")
        waits = []
        client._transport.wait = waits.append
        assert client.signatures == {}
        statuses += [(503, None)] * 4
        again = bert_tf.Client(client.url)
        again._transport.wait = waits.append
        with pytest.raises(OSError, match="busy"):
            again.embed(["a"])
        server.shutdown()
        thread.join()
    assert waits == [7, 1, 60, 1, 1, 1]
