"""`.tflite` files answer as the model does, in 8 bits nearly so."""

import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, shake, write_run

from bert_tf.examples import Examples, TextExample
from bert_tf.models.encoder import BertEncoder
from bert_tf.serving import litert
from bert_tf.serving.export import export_saved_model
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.predictor import Predictor, load

TEXTS = ["The old miller.", "", "A young sailor forgot the letter, near the river", "the boat " * 40]


@pytest.fixture(scope="module")
def predictors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    tasks = ("classification", "question_answering")
    return {task: load(str(write_run(folder / task, task))) for task in tasks}


def _lite(predictor, path, quantization):
    task = predictor.description.task
    size = litert.write_litert(predictor.model, task, str(path), quantization)
    assert size == path.stat().st_size
    return Predictor(litert.LiteModel(str(path), task), predictor.description, predictor.tokenizer)


@pytest.mark.long
@pytest.mark.parametrize(("quantization", "tolerance"), [("float32", 1e-5), ("int8", 0.1)])
def test_classifiers(predictors, tmp_path, quantization, tolerance):
    predictor = predictors["classification"]
    lite = _lite(predictor, tmp_path / "model.tflite", quantization)
    found, expected = (
        np.array([list(answer["probabilities"].values()) for answer in each.classify(TEXTS)])
        for each in (lite, predictor)
    )
    np.testing.assert_allclose(found, expected, atol=tolerance)
    # Other batches, other lengths.
    np.testing.assert_allclose(list(lite.classify(TEXTS[:1])[0]["probabilities"].values()), expected[0], atol=tolerance)


@pytest.mark.long
def test_models_with_several_outputs(predictors, tmp_path):
    predictor = predictors["question_answering"]
    lite = _lite(predictor, tmp_path / "model.tflite", "float32")
    found, expected = (each.answer(TEXTS, TEXTS) for each in (lite, predictor))
    assert [answer["answer"] for answer in found] == [answer["answer"] for answer in expected]


@pytest.mark.long
def test_encoders(tmp_path):
    encoder = BertEncoder(SMALL)
    shake(encoder)
    litert.write_litert(encoder, "encoder", str(tmp_path / "model.tflite"))
    lite = tf.function(litert.LiteModel(str(tmp_path / "model.tflite"), "encoder"))
    mask = tf.constant([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    inputs = {"input_ids": 7 * mask, "input_mask": mask, "segment_ids": tf.zeros_like(mask)}
    found, expected = lite(inputs), encoder(inputs)
    assert sorted(found) == sorted(expected)
    for name, tensor in expected.items():
        np.testing.assert_allclose(found[name], tensor, atol=1e-5)
        # What follows in a graph knows the axes.
        assert lite.get_concrete_function(inputs).structured_outputs[name].shape.rank == len(tensor.shape)


@pytest.mark.long
def test_the_model_card_tells_what_changed(predictors, tmp_path):
    pytest.importorskip("tensorflow_text")
    run = predictors["classification"].source
    examples = Examples([TextExample(text, label="river") for text in TEXTS], "four texts")
    options = ExportOptions(litert=("float32", "int8"), precision="bfloat16")
    path = export_saved_model(run, str(tmp_path), options, "mit", lambda config: examples)
    with tf.io.gfile.GFile(f"{path}/MODEL_CARD.md") as file:
        page = file.read()
    table = page.split("## What was exported, on the evaluation data")[1].split("##")[0]
    lines = [line for line in table.split("\n") if line.startswith("|")]
    assert "accuracy" in lines[0]
    starts = ["| as trained |", "| SavedModel, bfloat16 |", "| LiteRT, float32, ", "| LiteRT, int8, "]
    assert [line.startswith(start) for line, start in zip(lines[2:], starts, strict=True)] == [True] * 4
    assert "| licence of the weights | mit |" in page
    # `load` takes the file, with vocabulary and labels from beside it.
    found, expected = (
        [list(answer["probabilities"].values()) for answer in each.classify(TEXTS)]
        for each in (load(f"{path}/litert/model_float32.tflite"), predictors["classification"])
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_is_not_converted(tmp_path):
    with pytest.raises(ValueError, match="--litert takes encoders and fine-tuned models"):
        litert.write_litert(None, "pretraining", str(tmp_path / "model.tflite"))
    with pytest.raises(ValueError, match=r"--litert takes float32, int8\. Received: 'int4'"):
        ExportOptions(litert=("int4",))


def test_what_is_no_file_of_an_export_is_told(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"cut off")
    with pytest.raises(FileNotFoundError, match=r"path: an export must hold assets/config\.json\. Received: .*tflite'"):
        load(str(tmp_path / "model.tflite"))
    with pytest.raises(ValueError, match=r"model\.tflite: no LiteRT file, or a damaged one"):
        litert.LiteModel(str(tmp_path / "model.tflite"), "classification")
