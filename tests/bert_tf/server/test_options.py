"""The settings of a server are checked before anything is loaded."""

import pytest

from bert_tf.server.options import ServerOptions, parse_labels, parse_models, read_api_keys


@pytest.mark.parametrize("name", ["max_request_bytes", "max_texts", "max_characters", "max_requests", "parallel"])
def test_limits_are_above_0(name):
    with pytest.raises(ValueError, match=rf"`{name}` must be above 0\. Received: 0"):
        ServerOptions(**{name: 0})


def test_the_timeout_is_a_number_above_0():
    with pytest.raises(ValueError, match=r"`timeout` must be above 0\. Received: nan"):
        ServerOptions(timeout=float("nan"))


def test_models():
    assert parse_models(["a=b/c", "d e=gs://x=y"]) == {"a": "b/c", "d e": "gs://x=y"}


@pytest.mark.parametrize("texts", [["a"], ["=b"], ["a="], ["a/b=c"], ["a:b=c"], ["a=b", "a=c"], ["a\x00=b"]])
def test_wrong_models(texts):
    with pytest.raises(ValueError, match=r"`models` must be NAME=FOLDER, each name once .* Received: "):
        parse_models(texts)


def test_labels():
    assert parse_labels(["stable=1", "new=12"], ["a"]) == {"a": {"stable": 1, "new": 12}}
    assert parse_labels(["b:stable=1"], ["a", "b"]) == {"a": {}, "b": {"stable": 1}}


@pytest.mark.parametrize("text", ["stable", "=1", "stable=one", "stable=-1", "stable=1", "c:stable=1", "stable=²"])
def test_wrong_labels(text):
    with pytest.raises(ValueError, match=r"`labels` must be LABEL=VERSION, or MODEL:LABEL=VERSION"):
        parse_labels([text], ["a", "b"])


def test_keys(tmp_path):
    path = tmp_path / "keys.txt"
    path.write_text("one\n\n two \n")
    assert read_api_keys(str(path)) == ["one", "two"]
    path.write_text("\n")
    with pytest.raises(ValueError, match=r"`api_key_file` must hold a key on each line\. Received: .*keys\.txt"):
        read_api_keys(str(path))
    path.write_text("one\nüber\n")
    with pytest.raises(ValueError, match=r"keys\.txt, key 2: a key must be printable ASCII without spaces"):
        read_api_keys(str(path))
    with pytest.raises(FileNotFoundError):
        read_api_keys(str(tmp_path / "none"))
