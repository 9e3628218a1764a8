import json
import sys

import pytest
from small_checkpoints import hf_encoder, write_hf

import bert_tf
from bert_tf.conversion import hub

constants = pytest.importorskip("huggingface_hub.constants")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty local cache of the hub; the tests' environment allows no network (HF_HUB_OFFLINE)."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_name_is_found_in_the_local_cache(cache):
    repository = cache / "models--someone--small-bert"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123abcd")
    write_hf(repository / "snapshots" / "0123abcd", hf_encoder())
    _, pretrained = bert_tf.load_pretrained("someone/small-bert")
    assert pretrained.config.hidden_size == 8
    assert pretrained.tokens is not None
    _, again = bert_tf.load_pretrained("hf://someone/small-bert")
    assert again.config == pretrained.config


def test_weights_in_parts_are_all_fetched(tmp_path, monkeypatch):
    """The preferred file of weights is fetched, and no other."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    names = ["tf_model-00001-of-00002.h5", "tf_model-00002-of-00002.h5"]
    there = {
        "config.json": "{}",
        "tf_model.h5.index.json": json.dumps({"weight_map": {"a": names[1], "b": names[0], "c": names[1]}}),
        "tf_model.h5": "",
        "vocab.txt": "",
    }
    there |= dict.fromkeys(names, "")
    fetched = []

    def download(_, entry, **__):
        if entry not in there:
            raise LocalEntryNotFoundError(entry)
        fetched.append(entry)
        (tmp_path / entry).write_text(there[entry])
        return str(tmp_path / entry)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert hub.fetch("someone/tensorflow") == str(tmp_path)
    assert fetched == ["config.json", "tf_model.h5", "vocab.txt"]
    del there["tf_model.h5"]
    fetched.clear()
    assert hub.fetch("someone/tensorflow") == str(tmp_path)
    assert fetched == ["config.json", "tf_model.h5.index.json", "vocab.txt", *names]


@pytest.mark.parametrize("name", ["bert-base-uncased", "someone/other"])
def test_without_a_network_the_message_lists_the_files_to_put_where(name, cache):
    message = (
        rf"Without the hub, put config\.json, model\.safetensors \(or pytorch_model\.bin or tf_model\.h5\) and "
        rf"vocab\.txt of https://huggingface\.co/{name} into a folder, and give its path\. Received: '{name}'"
    )
    with pytest.raises(FileNotFoundError, match=message):
        bert_tf.load_encoder(name)


def test_an_unreachable_hub_gets_one_request(cache, monkeypatch):
    asked = []

    class Session:
        def head(self, url, timeout):
            asked.append((url, timeout))
            raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.get_session", Session)
    with pytest.raises(FileNotFoundError, match="Without the hub"):
        bert_tf.load_encoder("someone/other")
    [(url, timeout)] = asked
    assert url == constants.ENDPOINT
    assert timeout <= 3


def test_a_missing_package_is_reported_with_the_files_to_put_where(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError, match=r"pip install 'bert_tf\[hub\]'.*Without the hub, put config\.json"):
        bert_tf.load_encoder("bert-base-uncased")


@pytest.mark.parametrize("path", ["/nowhere/at/all", "./a", "a/b/c", "memory of a name", "nowhere"])
def test_a_path_that_cannot_be_a_name_is_reported_as_a_missing_folder(path):
    with pytest.raises(FileNotFoundError, match="no such folder, and not the name of a model"):
        bert_tf.load_encoder(path)
