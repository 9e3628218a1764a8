"""The client answers as the predictor of the same export does."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import tensorflow as tf
from served_kinds import Kinds
from small_model import write_multi_task_run, write_run
from small_server import assert_near, serving_both, write_version

import bert_tf
from bert_tf.server.client import NOT_SERVED
from bert_tf.server.models import ServedModel
from bert_tf.serving.predictor import Predictor

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
    "multiple_choice": (
        {},
        lambda model: [
            model.choose(TEXTS[:2], [["rows.", "the miller"], ["a", "b sailor", "the old river"]], ["", "who is it?"]),
            model.choose(TEXTS[2], ["the letter", "river"]),
            model.choose(TEXTS[2], ["the letter", "river"], "what?"),
        ],
    ),
    "reranking": (
        {},
        lambda model: [
            model.rerank(["the miller", "", "river"], [TEXTS, ["a", {"text": "a", "id": 7}, "sailor"], []], top_k=3),
            model.rerank("the river", [*TEXTS, {"text": "the boat", "id": [1]}]),
        ],
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


@pytest.mark.long
def test_answers_of_several_tasks_are_those_of_the_predictor(tmp_path):
    from bert_tf.serving.export import export_saved_model

    kinds = {"topic": "classification", "more": "multi_label", "names": "tagging", "find": "retrieval"}
    run = write_multi_task_run(tmp_path / "run", kinds | {"order": "reranking", "pick": "multiple_choice"})
    export_saved_model(str(run), str(tmp_path / "export"))
    predictors = bert_tf.load(str(tmp_path / "export")).predictors
    with serving_both(ServedModel("model", str(tmp_path / "export"))) as addresses:
        for url in (f"{address}/v1/models/model" for address in addresses):
            client = bert_tf.Client(url)
            assert set(client.tasks) == set(predictors)
            assert_near(client.tag(TEXTS), predictors["names"].tag(TEXTS))
            assert_near(client.rerank("river", TEXTS), predictors["order"].rerank("river", TEXTS))
            assert_near(client.choose("a", TEXTS[::2]), predictors["pick"].choose("a", TEXTS[::2]))
            np.testing.assert_allclose(client.embed(TEXTS), predictors["find"].embed(TEXTS), atol=1e-5)
            for task in ("topic", "more"):
                assert_near(bert_tf.Client(url, task=task).classify(TEXTS), predictors[task].classify(TEXTS))


@pytest.fixture(scope="module")
def urls(classifier_export, tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    write_version(folder, 1)
    kinds = Kinds()
    of_tasks = {"topic": kinds.classification, "topic_examples": kinds.examples, "topic_token_ids": kinds.encoder}
    of_tasks |= {"more": kinds.classification, "more_token_ids": kinds.encoder}
    of_tasks |= {"size": kinds.regression, "size_token_ids": kinds.encoder}
    for name, signatures in {
        "choose": {"serving_default": kinds.multiple_choice},
        "rerank": {"serving_default": kinds.reranking},
        "several": {"serving_default": kinds.classification, **of_tasks},
    }.items():
        tf.saved_model.save(tf.Module(), str(folder / name / "1"), signatures=signatures)
    models = [ServedModel("classifier", str(classifier_export), {"best": 1}), ServedModel("graph", str(folder))]
    models += [ServedModel(name, str(folder / name)) for name in ("choose", "rerank", "several")]
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


def test_choices(url):
    client = bert_tf.Client(f"{url}/choose", api_key="secret", batch_size=2)
    assert client.choose("here", ["ab", "abcdef"]) == {"index": 1, "choice": "abcdef", "probabilities": [0.25, 0.75]}
    lists = [["abc", "a"], ["a", "b", "cd"], ["naïve", "漢字"]]
    found = client.choose(["", "here", "there"], lists, ["", "who", ""])
    assert [answer["choice"] for answer in found] == ["abc", "cd", "naïve"]
    np.testing.assert_allclose(found[1]["probabilities"], [4 / 13, 4 / 13, 5 / 13])
    np.testing.assert_allclose(found[2]["probabilities"], [0.5, 0.5])
    assert client.choose([], []) == []
    with pytest.raises(ValueError, match=r"A request must hold at most 8 texts\. Received: 9"):
        client.choose("here", list("abcdefghi"))  # each choice counts
    with pytest.raises(ValueError, match=r"`choices\[1\]` must hold at least two choices"):
        client.choose(["a", "b"], [["a", "b"], ["c"]])
    with pytest.raises(ValueError, match=r"`questions` must be as many as `contexts`\. Received: 1 and 2"):
        client.choose(["a", "b"], [["a", "b"]] * 2, ["c"])


def test_ranked_passages(url):
    client = bert_tf.Client(f"{url}/rerank", api_key="secret", batch_size=3)
    passages = ["a" * 40, "", {"text": "a" * 50, "id": 5}, "b" * 31, "c" * 31]
    found = client.rerank("q", passages)
    # Two scores are equal that logits tell apart; equal ones keep their order.
    assert [(each["index"], each["score"]) for each in found] == [(2, 1), (0, 1), (3, 1), (4, 1), (1, 1 / 32)]
    assert found[0] == {"index": 2, "passage": "a" * 50, "score": 1.0, "id": 5}
    lists = client.rerank(["q", "", "qq"], [["a", "ab"], [], passages], top_k=1)
    assert [[each["index"] for each in some] for some in lists] == [[1], [], [2]]
    with pytest.raises(ValueError, match=r"`top_k` must be at least 1"):
        client.rerank("q", passages, 0)
    with pytest.raises(ValueError, match=r"`passages` must be a list for each of 2 queries\. Received: 1 lists"):
        client.rerank(["a", "b"], [["c"]])


def test_a_model_for_several_tasks(url):
    client = bert_tf.Client(f"{url}/several", api_key="secret")
    assert client.tasks == ("more", "size", "topic")
    assert client.score(["abcd", ""]) == [0.5, 0.0]  # the only task that has it
    with pytest.raises(ValueError, match=r"`classify` needs a `task`, because more and topic have it\. Received: None"):
        client.classify(["a"])
    chosen = bert_tf.Client(client.url, task="topic", api_key="secret")
    expected = {"label": "land", "probabilities": {"water": 0.125, "land": 0.875}}
    assert chosen.classify(["a", "b"]) == [expected] * 2
    with pytest.raises(ValueError, match=r"`score` needs a model that returns values\. Received: .*, the task 'topic'"):
        chosen.score(["a"])
    with pytest.raises(ValueError, match=r"`task` must be one of more, size, topic\. Received: 'sst2', for .*several"):
        bert_tf.Client(client.url, task="sst2", api_key="secret").classify(["a"])
    with pytest.raises(ValueError, match=r"`task` must be left out for a model of one task\. Received: 'topic'"):
        bert_tf.Client(f"{url}/choose", task="topic", api_key="secret").choose("a", ["b", "c"])


def test_every_method_of_the_predictor_is_there_or_says_why_not():
    methods = {name for name in dir(Predictor) if not name.startswith("_")}
    assert methods - NOT_SERVED.keys() <= set(dir(bert_tf.Client))
    assert NOT_SERVED.keys() <= methods - set(dir(bert_tf.Client))
    client = bert_tf.Client("http://localhost:1/v1/models/m")
    with pytest.raises(AttributeError, match=r"`perplexity` cannot be asked of a server: it masks each token in turn"):
        client.perplexity(["a"])
    with pytest.raises(AttributeError, match=r"'Client' object has no attribute 'clasify'"):
        client.clasify(["a"])


def test_wrong_calls(url):
    client = bert_tf.Client(f"{url}/classifier", api_key="secret")
    with pytest.raises(ValueError, match=r"`texts\[1\]` must be a text\. Received: 5"):
        client.classify(["a", 5])
    with pytest.raises(ValueError, match=r"`classify` needs `texts` for this model\. Received: text, text_pair"):
        client.classify(["a"], ["b"])
    for ask in (client.score, client.tag, client.fill_mask, client.embed):
        with pytest.raises(ValueError, match=r"needs a model that returns .*\. Received: (http|grpc)://"):
            ask(["a"])
    with pytest.raises(ValueError, match=r"`answer` needs a model that returns n_best_answers"):
        client.answer(["a"], ["b"])
    for name in ("graph", "choose"):
        with pytest.raises(ValueError, match=r"`classify` needs a model that returns labels and probabilities"):
            bert_tf.Client(f"{url}/{name}", api_key="secret").classify(["a"])
    with pytest.raises(ValueError, match=r"`rerank` needs a model that returns scores and logits"):
        client.rerank("a", ["b"])


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
