"""`.tflite` files answer as the model does, and nearly so with 8-bit weights."""

import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, shake, write_run

from bert_tf.examples import Examples, TextExample
from bert_tf.models.encoder import BertEncoder
from bert_tf.serving import litert, litert_export
from bert_tf.serving.export import export_saved_model
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.predictor import Predictor, load

TEXTS = ["The old miller.", "", "A young sailor forgot the letter, near the river", "the boat " * 40]


@pytest.fixture(scope="module")
def predictors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    tasks = ("classification", "question_answering", "tagging")
    return {task: load(str(write_run(folder / task, task))) for task in tasks}


def _lite(predictor, path, quantization):
    task = predictor.description.task
    size = litert_export.write_litert(predictor.model, task, str(path), quantization=quantization)
    assert size == path.stat().st_size
    return Predictor(litert.LiteModel(str(path), task), predictor.description, predictor.tokenizer)


@pytest.mark.long
@pytest.mark.parametrize(("quantization", "tolerance"), [("float32", 1e-5), ("int8", 0.1)])
def test_classifiers_answer_as_the_model_does(predictors, tmp_path, quantization, tolerance):
    predictor = predictors["classification"]
    lite = _lite(predictor, tmp_path / "model.tflite", quantization)
    found, expected = (
        np.array([list(answer["probabilities"].values()) for answer in each.classify(TEXTS)])
        for each in (lite, predictor)
    )
    np.testing.assert_allclose(found, expected, atol=tolerance)
    with pytest.raises(ValueError, match="`text_pairs` must be left out"):
        lite.classify(TEXTS, TEXTS)
    # Batches of another size and length.
    np.testing.assert_allclose(list(lite.classify(TEXTS[:1])[0]["probabilities"].values()), expected[0], atol=tolerance)
    with pytest.raises(ValueError, match="`embed` needs the run or the published weights of a fine-tuned model"):
        lite.embed(TEXTS)


@pytest.mark.long
def test_a_classifier_pools_the_windows_of_long_texts(tmp_path):
    predictor = load(str(write_run(tmp_path / "run", "classification", options={"long_texts": "windows"})))
    lite = _lite(predictor, tmp_path / "model.tflite", "float32")
    texts = [*TEXTS, "the boat " * 15 + "sailor letter river storm " * 10]
    found, expected = (
        np.array([list(answer["probabilities"].values()) for answer in each.classify(texts)])
        for each in (lite, predictor)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.long
def test_models_keep_their_several_outputs(predictors, tmp_path):
    predictor = predictors["question_answering"]
    lite = _lite(predictor, tmp_path / "model.tflite", "float32")
    found, expected = (each.answer(TEXTS, TEXTS) for each in (lite, predictor))
    assert [answer["answer"] for answer in found] == [answer["answer"] for answer in expected]


@pytest.mark.long
def test_encoders_embed_as_the_model_does(tmp_path):
    encoder = BertEncoder(SMALL)
    shake(encoder)
    litert_export.write_litert(encoder, "encoder", str(tmp_path / "model.tflite"))
    lite = litert.LiteModel(str(tmp_path / "model.tflite"), "encoder")
    mask = tf.constant([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    inputs = {"input_ids": 7 * mask, "input_mask": mask, "segment_ids": tf.zeros_like(mask)}
    found, expected = lite(inputs), encoder(inputs)
    assert sorted(found) == sorted(expected)
    for name, tensor in expected.items():
        np.testing.assert_allclose(found[name], tensor, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("task", ["classification", "tagging", "question_answering"])
def test_files_of_a_fixed_length_take_rows_up_to_it(predictors, tmp_path, task):
    model, path = predictors[task].model, str(tmp_path / litert.file_name("float32", 8))
    litert_export.write_litert(model, task, path, length=8)
    lite = litert.LiteModel(path, task)
    mask = tf.constant([[1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0]])
    inputs = {"input_ids": 7 * mask, "input_mask": mask, "segment_ids": tf.zeros_like(mask)}
    found, expected = lite(inputs), model(inputs)
    assert tf.nest.assert_same_structure(found, expected) is None
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        by_token = (slice(None),) if task == "classification" else mask.numpy() > 0
        assert one.shape == other.shape
        np.testing.assert_allclose(one[by_token], other.numpy()[by_token], atol=1e-5)
    longer = {name: tf.repeat(tensor, 2, axis=1) for name, tensor in inputs.items()}
    with pytest.raises(ValueError, match=r"1x8\.tflite: rows have at most 8 tokens\. Received: 10"):
        lite(longer)


@pytest.mark.long
def test_a_short_text_uses_the_file_of_its_length(predictors, tmp_path):
    predictor = predictors["classification"]
    lite = _lite(predictor, tmp_path / "model_float32.tflite", "float32")
    assert len(lite.classify(TEXTS[:1])) == 1, "there are no other files yet"
    for length in (4, 12):
        file = str(tmp_path / litert.file_name("float32", length))
        litert_export.write_litert(predictor.model, "classification", file, length=length)
    (tmp_path / litert.file_name("int8", 8)).write_bytes(b"another file's")
    (tmp_path / litert.file_name("float32", 6)).write_bytes(b"damaged")
    lite = Predictor(
        litert.LiteModel(str(tmp_path / "model_float32.tflite"), "classification"),
        predictor.description,
        predictor.tokenizer,
    )
    for text in TEXTS:
        if len(predictor.tokenizer.encode(text)) + 2 in (5, 6):
            continue
        found, expected = (list(each.classify([text])[0]["probabilities"].values()) for each in (lite, predictor))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    # The shortest file that holds the text is used, which here is the damaged one.
    with pytest.raises(ValueError, match=r"1x6\.tflite: not a LiteRT file, or a damaged one"):
        lite.classify(["miller old miller"])
    assert len(lite.classify(["miller old miller"] * 2)) == 2, "several rows are for the file of any length"


@pytest.mark.long
def test_the_model_card_compares_the_scores_of_all_variants(predictors, tmp_path):
    pytest.importorskip("tensorflow_text")
    run = predictors["classification"].source
    examples = Examples([TextExample(text, label="river") for text in TEXTS], "four texts")
    options = ExportOptions(litert=("float32", "int8"), litert_lengths=(8,), precision="bfloat16")
    path = export_saved_model(run, str(tmp_path), options, license_name="mit", read_examples=lambda config: examples)
    with tf.io.gfile.GFile(f"{path}/MODEL_CARD.md") as file:
        page = file.read()
    table = page.split("## What was exported, on the evaluation data")[1].split("##")[0]
    lines = [line for line in table.split("\n") if line.startswith("|")]
    assert "accuracy" in lines[0]
    starts = ["| as trained |", "| SavedModel, bfloat16 |", "| LiteRT, float32, ", "| LiteRT, int8, "]
    assert [line.startswith(start) for line, start in zip(lines[2:], starts, strict=True)] == [True] * 4
    assert "| licence of the weights | mit |" in page
    names = ["model_float32.tflite", "model_float32_1x8.tflite", "model_int8.tflite", "model_int8_1x8.tflite"]
    assert sorted(tf.io.gfile.listdir(f"{path}/litert")) == names
    with pytest.raises(ValueError, match=r"`path` must name the file for any length.*Received: "):
        load(f"{path}/litert/{names[1]}")
    # `load` reads the vocabulary and the labels beside the file.
    found, expected = (
        [list(answer["probabilities"].values()) for answer in each.classify(TEXTS)]
        for each in (load(f"{path}/litert/model_float32.tflite"), predictors["classification"])
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_unsupported_tasks_and_options_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`litert` takes encoders and fine-tuned models"):
        litert_export.write_litert(None, "pretraining", str(tmp_path / "model.tflite"))
    with pytest.raises(ValueError, match=r"`litert` takes float32, int8\. Received: 'int4'"):
        ExportOptions(litert=("int4",))
    with pytest.raises(ValueError, match=r"`litert_lengths` needs `litert`\. Received: 16,32 without it"):
        ExportOptions(litert_lengths=(16, 32))
    with pytest.raises(ValueError, match=r"`litert_lengths` must be at least 3\. Received: 16,2"):
        ExportOptions(litert=("float32",), litert_lengths=(16, 2))


def test_lengths_beyond_the_model_are_refused(predictors, tmp_path):
    pytest.importorskip("tensorflow_text")
    options = ExportOptions(litert=("float32",), litert_lengths=(8, 25))
    with pytest.raises(
        ValueError, match=r"`litert_lengths` must be at most 24, the model's longest row\. Received: 25"
    ):
        export_saved_model(predictors["classification"].source, str(tmp_path), options)


def test_files_that_are_not_from_an_export_are_refused(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"cut off")
    with pytest.raises(
        FileNotFoundError, match=r"`path`: an export must hold assets/config\.json\. Received: .*tflite'"
    ):
        load(str(tmp_path / "model.tflite"))
    with pytest.raises(ValueError, match=r"model\.tflite: not a LiteRT file, or a damaged one"):
        litert.LiteModel(str(tmp_path / "model.tflite"), "classification")
