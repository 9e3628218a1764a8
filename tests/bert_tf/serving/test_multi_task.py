"""A model for several tasks answers by the methods of all of them, from a run and from its export."""

import numpy as np
import pytest
import tensorflow as tf
from small_model import TAGS, write_multi_task_run

from bert_tf.conversion.loading import load_pretrained
from bert_tf.serving.export import export_saved_model
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.predictor import MultiTaskPredictor, load
from bert_tf.serving.warmup import read_requests

TEXTS = ["The old miller.", "a young sailor near the river", ""]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    kinds = {"topic": "classification", "more": "multi_label", "names": "tagging", "find": "retrieval"}
    return str(write_multi_task_run(tmp_path_factory.mktemp("multi") / "run", kinds))


@pytest.fixture(scope="module")
def predictor(run):
    return load(run)


@pytest.fixture(scope="module")
def exported(run):
    pytest.importorskip("tensorflow_text")
    return export_saved_model(run)


def _require_equal(found, expected):
    assert found == expected if isinstance(expected, str) else True
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            _require_equal(found[name], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _require_equal(one, other)
    elif not isinstance(expected, str):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_method_is_that_of_the_only_task_that_has_it(run, predictor):
    assert isinstance(predictor, MultiTaskPredictor)
    assert list(predictor.predictors) == ["topic", "more", "names", "find"]
    alone = load(run, "names")
    assert (alone.description.task, alone.description.labels) == ("tagging", TAGS)
    _require_equal(predictor.tag(TEXTS), alone.tag(TEXTS))
    _require_equal(predictor.predictors["topic"].classify(TEXTS), load(run, "topic").classify(TEXTS))
    assert predictor.predictors["find"].description.task == "encoder"
    np.testing.assert_allclose(predictor.predictors["find"].embed(TEXTS), load(run, "find").embed(TEXTS), atol=1e-6)


def test_a_method_of_several_tasks_needs_the_name_of_one(predictor):
    expected = (
        r"^`classify` needs the name of a task, as in `load\(path, task='topic'\)`.* because topic and more have it"
    )
    with pytest.raises(ValueError, match=expected):
        predictor.classify(TEXTS)
    with pytest.raises(
        ValueError, match=r"^`answer` needs a model with a task that has it\. Received: .*, with topic "
    ):
        predictor.answer(["who"], ["the miller"])
    with pytest.raises(ValueError, match=r"^`predict` needs the name of a task"):
        predictor.predict([])


def test_an_unknown_task_is_refused(run):
    with pytest.raises(
        ValueError, match=r"^`task` must be one of topic, more, names, find, the tasks of the model\. .*'ner'"
    ):
        load(run, "ner")


def test_one_task_is_read_as_a_model_of_its_own(run, predictor):
    model, pretrained = load_pretrained(run, "names")
    assert (pretrained.task, pretrained.labels, pretrained.heads[-1]) == ("tagging", TAGS, "token_classification")
    inputs = {"input_ids": np.arange(12).reshape(2, 6)}
    expected = predictor.model.members["names"](inputs)
    np.testing.assert_allclose(model(inputs), expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"^`task` must be the name of one of the tasks in .*run, which holds several"):
        load_pretrained(run)


@pytest.mark.long  # the signatures of all tasks run
def test_an_export_has_the_signatures_of_each_task(exported, predictor):
    module = tf.saved_model.load(exported)
    names = {f"{task}{end}" for task in ("topic", "more", "names", "find") for end in ("", "_examples", "_token_ids")}
    assert set(module.signatures) == {"serving_default", *names}
    texts = tf.constant(TEXTS)
    expected = predictor.predictors["topic"].classify(TEXTS)
    for name in ("serving_default", "topic"):
        found = module.signatures[name](text=texts)
        assert [label.decode() for label in found["labels"].numpy()] == [answer["label"] for answer in expected]
        probabilities = [list(answer["probabilities"].values()) for answer in expected]
        np.testing.assert_allclose(found["probabilities"], probabilities, atol=1e-5)
    for name, inputs in read_requests(exported):
        assert module.signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})


def test_an_export_answers_as_its_run(exported, run, predictor):
    loaded = load(exported)
    assert isinstance(loaded, MultiTaskPredictor)
    _require_equal(loaded.tag(TEXTS), predictor.tag(TEXTS))
    _require_equal(load(exported, "more").classify(TEXTS), load(run, "more").classify(TEXTS))
    np.testing.assert_allclose(load(exported, "find").embed(TEXTS), load(run, "find").embed(TEXTS), atol=1e-5)


def test_files_of_one_task_need_its_name(run):
    with pytest.raises(ValueError, match=r"^`litert` and `onnx` files hold one task.* topic, more, names, find$"):
        export_saved_model(run, options=ExportOptions(litert=("float32",)))


@pytest.mark.long
def test_one_task_is_exported_alone(run, tmp_path):
    pytest.importorskip("tensorflow_text")
    path = export_saved_model(run, str(tmp_path), ExportOptions("bfloat16"), task="names")
    assert set(tf.saved_model.load(path).signatures) == {"serving_default", "examples", "token_ids"}
    found, expected = load(path).tag(TEXTS), load(run, "names").tag(TEXTS)
    assert [answer["tags"] for answer in found] == [answer["tags"] for answer in expected]
