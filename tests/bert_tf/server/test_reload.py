"""New versions answer as soon as they are loaded, no request fails meanwhile, and what does not load is left out."""

import shutil
import threading

import numpy as np
import pytest
from small_server import TIMEOUT, ask, serving, write_version

from bert_tf.server.models import ServedModel, ServedModels
from bert_tf.server.options import ServerOptions
from bert_tf.server.running import Server, in_thread
from bert_tf.server.served_version import ServedVersion

pytest.importorskip("tensorflow_text")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """The folders of two versions, whose outputs differ."""
    folder = tmp_path_factory.mktemp("versions")
    return {number: write_version(folder, number, scale=number) for number in (1, 2)}


@pytest.fixture
def model(tmp_path, versions):
    """A model that has version 1."""
    shutil.copytree(versions[1], tmp_path / "1")
    model = ServedModel("graph", str(tmp_path))
    model.load()
    return model


def _states(model):
    return {number: (state.state, state.error_code) for number, state in model.states.items()}


def test_a_new_version_takes_the_place_of_the_old_one(model, versions, tmp_path):
    model.refresh()
    assert _states(model) == {1: ("AVAILABLE", "OK")}
    held = model.loaded[1]
    shutil.copytree(versions[2], tmp_path / "0002")  # as TensorFlow Serving takes the number, too
    model.refresh()
    assert _states(model) == {1: ("END", "OK"), 2: ("AVAILABLE", "OK")}
    assert list(model.loaded) == [2]
    outputs = held.run("words", {"text": np.array([b"a b"], object)})  # what holds it can still ask it
    assert outputs["words"].tolist() == [[b"a", b"b"]]
    shutil.rmtree(tmp_path / "0002")
    model.refresh()
    assert _states(model) == {1: ("AVAILABLE", "OK"), 2: ("END", "OK")}
    model.refresh()
    assert _states(model) == {1: ("AVAILABLE", "OK")}


def test_several_versions(model, versions, tmp_path):
    model.num_versions = 2
    shutil.copytree(versions[2], tmp_path / "2")
    model.refresh()
    assert sorted(model.loaded) == [1, 2]
    shutil.copytree(versions[1], tmp_path / "3")
    model.refresh()
    assert sorted(model.loaded) == [2, 3]


def test_a_version_that_does_not_load_is_left_out_until_it_is_replaced(model, versions, tmp_path):
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "saved_model.pb").write_bytes(b"no graph")
    model.refresh()
    assert _states(model) == {1: ("AVAILABLE", "OK"), 2: ("END", "INTERNAL")}
    assert "saved_model.pb is damaged" in model.states[2].error_message
    shutil.rmtree(tmp_path / "2")
    model.refresh()
    shutil.copytree(versions[2], tmp_path / "2")
    model.refresh()
    assert _states(model) == {1: ("END", "OK"), 2: ("AVAILABLE", "OK")}


def test_a_version_whose_warm_up_fails_is_left_out(model, versions, tmp_path):
    import tensorflow as tf

    from bert_tf.serving.warmup import predict_log

    for number, text in ((2, "bad"), (3, "good")):
        shutil.copytree(versions[2], tmp_path / f"tmp-{number}")
        extra = tmp_path / f"tmp-{number}" / "assets.extra"
        extra.mkdir()
        with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
            writer.write(predict_log("serving_default", {"text": tf.constant([text])}))
        (tmp_path / f"tmp-{number}").rename(tmp_path / str(number))
        model.refresh()
    assert _states(model) == {1: ("END", "OK"), 2: ("END", "INTERNAL"), 3: ("AVAILABLE", "OK")}
    assert model.states[2].error_message == "assertion failed: [a bad text]"


def test_versions_that_vanish_go_on_to_answer(model, tmp_path):
    shutil.rmtree(tmp_path / "1")
    model.refresh()
    assert list(model.loaded) == [1]


def test_a_folder_needs_a_version_that_loads(tmp_path):
    with pytest.raises(ValueError, match=r"`models` must name folders of versions of exports\. Received: .* for 'g"):
        ServedModel("graph", str(tmp_path))
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(ValueError, match=r"`models`: no version of 'graph' loads\. .*saved_model\.pb is damaged"):
        ServedModel("graph", str(tmp_path)).load()


def test_no_request_fails_while_versions_change(model, versions, tmp_path):
    answers, ended = [], threading.Event()

    def client(url):
        while not ended.is_set():
            answers.append(ask(f"{url}/v1/models/graph:predict", {"instances": ["abc"]}))

    with serving(model) as url:
        clients = [threading.Thread(target=client, args=(url,)) for _ in range(4)]
        for thread in clients:
            thread.start()
        try:
            for number in range(2, 6):
                shutil.copytree(versions[number % 2 + 1], tmp_path / f"tmp-{number}")
                (tmp_path / f"tmp-{number}").rename(tmp_path / str(number))
                model.refresh()
                seen = len(answers) + 8
                while len(answers) < seen and any(thread.is_alive() for thread in clients):
                    ended.wait(0.01)
        finally:
            ended.set()
            for thread in clients:
                thread.join()
        last = ask(f"{url}/v1/models/graph").value["model_version_status"][0]
    assert {answer.status for answer in answers} == {200}
    sizes = {tuple(answer.value["predictions"][0]["sizes"]) for answer in answers}
    assert sizes == {(3.0, 3.0), (3.0, 6.0)}
    assert (last["version"], last["state"]) == ("5", "AVAILABLE")


def test_the_server_looks_for_new_versions_by_itself(model, versions, tmp_path):
    with serving(model, poll_seconds=0.01) as url:
        shutil.copytree(versions[2], tmp_path / "tmp-2")
        (tmp_path / "tmp-2").rename(tmp_path / "2")
        deadline = threading.Event()
        for _ in range(int(TIMEOUT / 0.05)):
            if ask(f"{url}/v1/models/graph/versions/2").status == 200 and 2 in model.loaded:
                break
            deadline.wait(0.05)
        assert ask(f"{url}/v1/models/graph/versions/2:predict", {"instances": ["a"]}).status == 200


def test_requests_that_have_arrived_are_answered_when_the_server_ends(model, monkeypatch):
    started, go_on, answers = threading.Event(), threading.Event(), []
    run = ServedVersion.run

    def slow(self, name, inputs):
        started.set()
        assert go_on.wait(TIMEOUT)
        return run(self, name, inputs)

    monkeypatch.setattr(ServedVersion, "run", slow)
    server = Server(ServedModels(model), ServerOptions())
    with in_thread(server) as url:
        body = {"instances": ["abc"]}
        client = threading.Thread(target=lambda: answers.append(ask(f"{url}/v1/models/graph:predict", body)))
        client.start()
        assert started.wait(TIMEOUT)
        server.stop()
        go_on.set()
    client.join()
    assert answers[0].value == {"predictions": [{"upper": "ABC", "sizes": [3.0, 3.0]}]}
