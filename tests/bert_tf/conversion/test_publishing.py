"""Models are pushed to a stand-in of the hub on this machine, whose answers follow the hub's documented routes."""

import base64
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from small_checkpoints import with_heads, write_hf

import bert_tf
from bert_tf.conversion.loading import load_pretrained, read_pretrained

constants = pytest.importorskip("huggingface_hub.constants")
TOKEN = "hf_of_the_tests"


class Hub:
    """Repositories by name: whether each is private, and its files."""

    def __init__(self):
        self.private = {}
        self.files = {}
        self.messages = []
        self.yaml_errors = []

    def answer(self, method, path, body, token):
        """Return the status and the value of an answer."""
        if token != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid credentials"}
        if path == "/api/repos/create":
            name = f"{body['organization']}/{body['name']}"
            url = {"url": f"{self.url}/{name}"}
            if name in self.private:
                return 409, url | {"error": "You already created this model repo"}
            self.private[name] = body.get("private", False) or body.get("visibility") == "private"
            self.files[name] = {}
            return 200, url
        if path == "/api/whoami-v2":
            return 200, {"name": "someone", "type": "user"}
        if path == "/api/validate-yaml":
            return 400 if self.yaml_errors else 200, {"errors": self.yaml_errors, "warnings": []}
        _, _, kind, owner, name, *action = path.split("/")
        repository = f"{owner}/{name}"
        assert kind == "models"
        assert repository in self.private
        if action[:1] == ["preupload"]:
            names = [file["path"] for file in body["files"]]
            return 200, {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]}
        if action[:1] == ["commit"]:
            for line in body:
                if line["key"] == "header":
                    self.messages.append(line["value"]["summary"])
                else:
                    assert line["key"] == "file"
                    self.files[repository][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return 200, {"commitUrl": f"{self.url}/{repository}/commit/0123abcd", "commitOid": "0123abcd"}
        assert (method, action) == ("GET", [])
        return 200, {"id": repository, "private": self.private[repository], "sha": "0123abcd", "tags": []}


@pytest.fixture
def hub(monkeypatch):
    """A hub that answers at the address to which the package is sent."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self):
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            if "ndjson" in self.headers.get("Content-Type", ""):
                body = [json.loads(line) for line in text.splitlines()]
            else:
                body = json.loads(text) if text else None
            path = self.path.partition("?")[0]
            status, value = hub.answer(self.command, path, body, self.headers.get("Authorization"))
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _answer

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    yield hub
    server.shutdown()
    thread.join()
    server.server_close()


def _classifier(folder):
    labels = {"0": "red", "1": "green", "2": "blue"}
    return write_hf(folder, with_heads("classifier"), architectures=["BertForSequenceClassification"], id2label=labels)


def _pulled(hub, name, folder):
    folder.mkdir()
    for file, data in hub.files[name].items():
        (folder / file).write_bytes(data)
    return str(folder)


def test_a_model_is_pushed_with_its_tokenizer_labels_and_page(hub, tmp_path):
    model, pretrained = load_pretrained(_classifier(tmp_path / "hf"))
    url = bert_tf.push_to_hub(
        model,
        "someone/colours",
        tokenizer=pretrained.tokenizer(),
        labels=pretrained.labels,
        card=bert_tf.ModelCard(license="mit"),
        token=TOKEN,
        private=True,
        commit_message="A first one",
    )
    assert url == f"{hub.url}/someone/colours/commit/0123abcd"
    assert (hub.private, hub.messages) == ({"someone/colours": True}, ["A first one"])
    again = read_pretrained(_pulled(hub, "someone/colours", tmp_path / "pulled"))
    assert (again.task, again.labels, again.tokens) == ("classification", ("red", "green", "blue"), pretrained.tokens)
    assert all(np.array_equal(again.weights[name], value) for name, value in pretrained.weights.items())
    page = hub.files["someone/colours"]["README.md"].decode()
    assert page.startswith("---\nlicense: mit\nlibrary_name: transformers\n")
    assert "bert_tf.load('someone/colours')" in page


def test_a_folder_is_pushed_and_keeps_its_own_page(hub, tmp_path, monkeypatch):
    """The token may be that which is stored on the computer. Files that are no part of the model stay there."""
    monkeypatch.setattr("huggingface_hub.get_token", lambda: TOKEN)
    source = _classifier(tmp_path / "hf")
    (tmp_path / "hf" / "notes.txt").write_text("not for others")
    bert_tf.push_to_hub(source, "colours")
    assert hub.private == {"someone/colours": False}
    assert hub.files["someone/colours"]["README.md"].startswith(b"---\nlibrary_name: transformers\n")
    assert b"bert_tf.load('someone/colours')" in hub.files["someone/colours"]["README.md"]
    (tmp_path / "hf" / "README.md").write_text("---\nlicense: mit\n---\n\nMy own page.\n")
    bert_tf.push_to_hub(tmp_path / "hf", "colours")
    assert hub.files["someone/colours"]["README.md"] == b"---\nlicense: mit\n---\n\nMy own page.\n"
    bert_tf.push_to_hub(source, "colours", card=bert_tf.ModelCard(language="en"))
    assert hub.files["someone/colours"]["README.md"].startswith(b"---\nlanguage:\n- en\n")
    assert "notes.txt" not in hub.files["someone/colours"]
    assert read_pretrained(_pulled(hub, "someone/colours", tmp_path / "pulled")).labels == ("red", "green", "blue")


def test_a_private_model_is_not_put_into_a_public_repository(hub, tmp_path):
    source = _classifier(tmp_path / "hf")
    bert_tf.push_to_hub(source, "someone/colours", token=TOKEN)
    with pytest.raises(PermissionError, match=r"`private` must be False for a repository that exists and is public"):
        bert_tf.push_to_hub(source, "someone/colours", token=TOKEN, private=True)
    assert len(hub.messages) == 1


def test_what_the_hub_refuses_is_reported(hub, tmp_path):
    source = _classifier(tmp_path / "hf")
    message = r"`repo_id`: the model cannot be pushed to http://127\.0\.0\.1:\d+/someone/colours \(.*"
    for name in ("someone/colours", "colours"):
        with pytest.raises(OSError, match=rf"/{name} \(.*(401|Invalid|invalid)"):
            bert_tf.push_to_hub(source, name, token="another")
    hub.yaml_errors = [{"message": '"license" must be one of apache-2.0, mit'}]
    with pytest.raises(OSError, match=f'{message}"license" must be one of'):
        bert_tf.push_to_hub(source, "someone/colours", token=TOKEN, card=bert_tf.ModelCard(license="mine"))
    assert hub.files == {"someone/colours": {}}


def test_an_unreachable_hub_is_reported(tmp_path):
    """The environment of the tests allows no network."""
    with pytest.raises(OSError, match=r"`repo_id`: the model cannot be pushed to http.*/someone/colours \(.*offline"):
        bert_tf.push_to_hub(_classifier(tmp_path / "hf"), "someone/colours", token=TOKEN)


def test_bad_arguments_are_refused_before_anything_is_read(hub, tmp_path, monkeypatch):
    missing = str(tmp_path / "missing")
    with pytest.raises(ValueError, match=r"`token` must be an access token .*hf auth login.*Received: None"):
        bert_tf.push_to_hub(missing, "someone/colours")
    with pytest.raises(ValueError, match=r"`repo_id` must be the name of a repository .*Received: 'a/b/c'"):
        bert_tf.push_to_hub(missing, "a/b/c", token=TOKEN)
    with pytest.raises(ValueError, match=r"`tokenizer` and `labels` must be left out for a path"):
        bert_tf.push_to_hub(missing, "someone/colours", token=TOKEN, labels=["a"])
    with pytest.raises(FileNotFoundError, match="no such folder"):
        bert_tf.push_to_hub(missing, "someone/colours", token=TOKEN)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"huggingface_hub must be installed .*pip install 'bert_tf\[hub\]'"):
        bert_tf.push_to_hub(missing, "someone/colours", token=TOKEN)
    assert hub.private == {}
