"""`.onnx` files answer as the model does, with ONNX Runtime alone."""

import json
import os
import sys

import numpy as np
import pytest
from small_model import SMALL, shake, write_run
from without_packages import TENSORFLOW, run_without

from bert_tf.examples import Examples, TextExample
from bert_tf.models.classifier import BertClassifier
from bert_tf.models.encoder import BertEncoder
from bert_tf.models.multiple_choice import BertMultipleChoice
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.models.question_answerer import BertQuestionAnswerer
from bert_tf.models.regressor import BertRegressor
from bert_tf.models.reranker import BertReranker
from bert_tf.models.token_classifier import BertTokenClassifier
from bert_tf.runs.folder import CONFIG_FILE, VOCAB_FILE
from bert_tf.serving import onnx_export, onnx_model
from bert_tf.serving.export import export_saved_model
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.predictor import load
from bert_tf.utils import files

TEXTS = ["The old miller.", "", "A young sailor forgot the letter, near the river", "the boat " * 40]


@pytest.fixture(scope="module")
def onnx():
    pytest.importorskip("onnxruntime", reason="ONNX is an optional extra, which `make test` installs for the tests")
    return pytest.importorskip("onnx")


def _inputs(shape):
    """Return rows with padding, two sequences in a row, and both segments."""
    random = np.random.default_rng(0)
    mask = np.ones(shape, np.int32)
    mask[:1, -1] = 0
    mask[1:2, 4:] = 2
    return {
        "input_ids": random.integers(0, SMALL.vocab_size, shape).astype(np.int32),
        "input_mask": mask,
        "segment_ids": random.integers(0, 2, shape).astype(np.int32),
    }


@pytest.mark.parametrize(
    ("task", "make"),
    [
        ("encoder", lambda: BertEncoder(SMALL)),
        ("encoder", lambda: BertEncoder(SMALL.replace(hidden_act="gelu_new", embedding_size=8))),
        ("encoder", lambda: BertEncoder(SMALL.replace(hidden_act="relu", position_embedding="sinusoidal"))),
        ("classification", lambda: BertClassifier(SMALL, 3)),
        ("classification", lambda: BertClassifier(SMALL, 3, pooling="mean")),
        ("regression", lambda: BertRegressor(SMALL)),
        ("reranking", lambda: BertReranker(SMALL)),
        ("tagging", lambda: BertTokenClassifier(SMALL, 4)),
        ("question_answering", lambda: BertQuestionAnswerer(SMALL)),
        ("multiple_choice", lambda: BertMultipleChoice(SMALL)),
    ],
)
def test_files_compute_what_the_model_does(onnx, tmp_path, task, make):
    model = make()
    shake(model)
    path = str(tmp_path / "onnx" / "model.onnx")
    assert onnx_export.write_onnx(model, path) == os.path.getsize(path)
    onnx.checker.check_model(path, full_check=True)
    operations = {node.op_type for node in onnx.load(path).graph.node}
    assert {"LayerNormalization", "Softmax"} <= operations
    assert "Gelu" in operations or model.config.hidden_act == "relu"
    file = onnx_model.OnnxModel(path, task)
    for shape in ((1, 3), (3, 7), (2, 32), (0, 5)):
        inputs = _inputs(shape)
        found, expected = (
            outputs if isinstance(outputs, dict) else {"": outputs} for outputs in (file(inputs), model(inputs))
        )
        assert sorted(found) == sorted(expected)
        for name, tensor in expected.items():
            assert found[name].shape == tensor.shape
            np.testing.assert_allclose(found[name], tensor, atol=1e-5)


PROGRAM = """
import json
import sys

import bert_tf

predictor = bert_tf.load(sys.argv[1] + "/onnx/model.onnx")
print(json.dumps(predictor.classify(json.load(open(sys.argv[1] + "/texts.json")))))
assert not {"keras", "jax", "tensorflow", "torch", "onnx"} & set(sys.modules)
"""


def test_a_file_answers_where_neither_tensorflow_nor_keras_is_installed(onnx, tmp_path):
    predictor = load(str(write_run(tmp_path / "run", "classification", options={"long_texts": "windows"})))
    onnx_export.write_onnx(predictor.model, str(tmp_path / "onnx" / onnx_model.FILE))
    files.write_json(str(tmp_path / "assets" / CONFIG_FILE), predictor.description.to_dict())
    os.rename(tmp_path / "run" / VOCAB_FILE, tmp_path / "assets" / VOCAB_FILE)
    files.write_json(str(tmp_path / "texts.json"), TEXTS)
    printed = run_without((*TENSORFLOW, "keras", "jax", "torch", "onnx"), tmp_path, PROGRAM)
    found, expected = (
        [list(answer["probabilities"].values()) for answer in answers]
        for answers in (json.loads(printed), predictor.classify(TEXTS))
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_export_holds_the_file_beside_the_saved_model(onnx, tmp_path):
    pytest.importorskip("tensorflow_text")
    run = str(write_run(tmp_path / "run", "classification"))
    examples = Examples([TextExample(text, label="river") for text in TEXTS], "four texts")
    options = ExportOptions(onnx=True, precision="bfloat16")
    version = export_saved_model(run, str(tmp_path / "export"), options, read_examples=lambda config: examples)
    assert "| ONNX, 0.0 MB |" in files.read_text(f"{version}/MODEL_CARD.md")
    found, expected = (
        [list(answer["probabilities"].values()) for answer in each.classify(TEXTS)]
        for each in (load(f"{version}/onnx/model.onnx"), load(run))
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)  # in float32, although the SavedModel is not
    with pytest.raises(ValueError, match=r"^`task` must be 'classification', .*Received: 'regression'"):
        load(f"{version}/onnx/model.onnx", "regression")


def test_models_of_other_kinds_are_refused(tmp_path):
    class Stance(BertClassifier):
        def outputs_of(self, encoded, inputs, training=False, seed=None):
            return -super().outputs_of(encoded, inputs, training, seed)

    for model in (BertPretrainer(SMALL), Stance(SMALL, 3)):
        with pytest.raises(
            ValueError, match=rf"`onnx` takes encoders and models that .*Received: a {type(model).__name__}"
        ):
            onnx_export.write_onnx(model, str(tmp_path / "model.onnx"))
    assert not (tmp_path / "model.onnx").exists()


def test_missing_packages_are_named(tmp_path, monkeypatch):
    for package in ("onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"an ONNX file needs onnx: pip install 'bert_tf\[onnx\]'"):
        onnx_export.write_onnx(BertEncoder(SMALL), str(tmp_path / "model.onnx"))
    with pytest.raises(ImportError, match=r"an ONNX file needs onnxruntime: pip install 'bert_tf\[onnx\]'"):
        onnx_model.OnnxModel(str(tmp_path / "model.onnx"), "encoder")


def test_damaged_and_other_files_are_refused(onnx, tmp_path):
    path = str(tmp_path / "model.onnx")
    onnx_export.write_onnx(BertEncoder(SMALL), path)
    whole = files.read_bytes(path)
    for contents in (b"", b"cut off", whole[: len(whole) // 2]):
        files.write_bytes(path, contents)
        with pytest.raises(ValueError, match=r"model\.onnx: not an ONNX file, or a damaged one \("):
            onnx_model.OnnxModel(path, "encoder")
    other = onnx.load_from_string(whole)
    other.graph.input[0].name = "ids"
    for node in other.graph.node:
        node.input[:] = ["ids" if name == "input_ids" else name for name in node.input]
    files.write_bytes(path, other.SerializeToString())
    with pytest.raises(ValueError, match=r"must take input_ids, .*Received: a file that takes ids, "):
        onnx_model.OnnxModel(path, "encoder")
