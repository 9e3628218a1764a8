"""Exports in bfloat16, compiled by XLA or of one fixed shape give the answers of the plain export."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from small_model import write_run

from bert_tf.serving.export import export_saved_model, signatures_of
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.predictor import Predictor, load
from bert_tf.serving.static_shapes import shaped

pytest.importorskip("tensorflow_text")

TEXTS = ["The old miller.", "", "A young sailor forgot the letter, near the river", "the boat " * 40, "漢字 [MASK]"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "classifier", "classification")


@pytest.fixture(scope="module")
def expected(run):
    return np.array([list(answer["probabilities"].values()) for answer in load(str(run)).classify(TEXTS)])


def _served(path, texts):
    module = tf.saved_model.load(path)
    return module.signatures["serving_default"](text=tf.constant(texts))


@pytest.mark.long
def test_bfloat16_gives_nearly_the_same_answers_in_less_space(run, expected, tmp_path):
    path = export_saved_model(str(run), str(tmp_path / "bfloat16"), ExportOptions(precision="bfloat16"))
    full = export_saved_model(str(run), str(tmp_path / "float32"))
    sizes = [next(Path(folder).glob("variables/*.data-*")).stat().st_size for folder in (path, full)]
    assert sizes[0] < 0.65 * sizes[1]  # norms and heads stay in float32, and this model is small
    outputs = _served(path, TEXTS)
    assert outputs["probabilities"].dtype == tf.float32
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=0.05)
    assert np.abs(outputs["probabilities"] - expected).max() > 1e-6
    assert "| precision | bfloat16 |" in (Path(path) / "MODEL_CARD.md").read_text()


@pytest.mark.long
@pytest.mark.parametrize("options", [ExportOptions(jit_compile=True), ExportOptions(fixed_batch_size=2)])
def test_compiled_exports_give_the_same_answers(run, expected, tmp_path, options):
    path = export_saved_model(str(run), str(tmp_path), options)
    for count in (1, 3, 5):
        np.testing.assert_allclose(_served(path, TEXTS[:count])["probabilities"], expected[:count], atol=1e-5)


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 7])
@pytest.mark.parametrize("options", [ExportOptions(jit_compile=True), ExportOptions(fixed_batch_size=2)])
def test_the_model_sees_only_the_shapes_of_its_options(rows, options):
    seen = []

    def model(inputs):
        ids = inputs["input_ids"]
        seen.append(ids.shape)
        return {"sums": tf.reduce_sum(ids, axis=1), "ids": ids + 1}

    function = shaped(model, ("input_ids",), options, max_seq_length=4)
    ids = np.arange(rows * 4, dtype=np.int32).reshape(rows, 4)
    outputs = tf.function(function)({"input_ids": tf.constant(ids)})
    np.testing.assert_array_equal(outputs["sums"], ids.sum(axis=1))
    np.testing.assert_array_equal(outputs["ids"], ids + 1)
    if options.fixed_batch_size:
        assert {tuple(shape) for shape in seen} == {(2, 4)}


def test_a_tpu_gets_one_static_shape(run):
    """XLA compiles the model's part as one program of static shapes, without an operation on the host."""
    predictor = load(str(run))
    options = ExportOptions(fixed_batch_size=2)
    names = ("input_ids", "input_mask", "segment_ids", "position_ids")

    @tf.function(jit_compile=True, autograph=False)
    def model(inputs):
        return predictor.model(inputs, training=False)

    module = signatures_of("classification")(
        predictor.model, predictor.description, predictor.tokenizer, options=options
    )
    assert module.bucket_lengths == (24,)
    inputs = {name: tf.ones([2, 24], tf.int32) for name in names}
    hlo = model.experimental_get_compiler_ir(inputs)(stage="hlo")
    assert "ENTRY" in hlo
    assert "<=" not in hlo  # the mark of a dynamic dimension
    for operation in (" infeed(", " outfeed(", " send(", " recv("):
        assert operation not in hlo


@pytest.mark.long
@pytest.mark.parametrize("long_texts", ["head_tail", "windows"])
@pytest.mark.parametrize("fixed_batch_size", [None, 2])
def test_an_export_treats_long_texts_as_training_does(tmp_path, long_texts, fixed_batch_size):
    run = write_run(tmp_path / "run", "classification", options={"long_texts": long_texts})
    options = ExportOptions(fixed_batch_size=fixed_batch_size)
    path = export_saved_model(str(run), str(tmp_path / "export"), options)
    texts = ["the old miller " + "near the river " * 20 + "a young sailor forgot the letter", "the boat", ""]
    found = tf.saved_model.load(path).signatures["serving_default"](text=tf.constant(texts))["probabilities"].numpy()
    predictor = load(str(run))
    expected = np.array([list(answer["probabilities"].values()) for answer in predictor.classify(texts)])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    cut = Predictor(
        predictor.model,
        predictor.description.replace(task_config=predictor.task.config.replace(long_texts="cut")),
        predictor.tokenizer,
    )
    others = np.array([list(answer["probabilities"].values()) for answer in cut.classify(texts)])
    assert np.abs(others[0] - expected[0]).max() > 1e-3
    np.testing.assert_allclose(others[1:], expected[1:], atol=1e-6)
