"""`.tflite` files answer where neither TensorFlow nor Keras nor another backend is installed."""

import json
import os

import numpy as np
import pytest
from small_model import write_run
from without_packages import TENSORFLOW, run_without

from bert_tf.runs.folder import CONFIG_FILE, VOCAB_FILE
from bert_tf.serving import litert, litert_export
from bert_tf.serving.predictor import load
from bert_tf.utils import files

MISSING = (*TENSORFLOW, "keras", "jax", "torch")
QUESTION, CONTEXT = "who found a sailor", "the old miller found a young sailor near the river"
CALLS = {
    "classification": ("classify", [[CONTEXT, ""]]),
    "multi_label": ("classify", [[CONTEXT, ""]]),
    "regression": ("score", [[CONTEXT, ""]]),
    "tagging": ("tag", [[CONTEXT, ""]]),
    "question_answering": ("answer", [[QUESTION], [CONTEXT]]),
    "reranking": ("rerank", [QUESTION, [CONTEXT, "the boat"]]),
    "retrieval": ("search", [[QUESTION], [CONTEXT, "the boat"]]),
}
PROGRAM = """
import json
import sys

import bert_tf

method, arguments = json.load(open(sys.argv[1] + "/call.json"))
predictor = bert_tf.load(sys.argv[1] + "/litert/model_float32.tflite")
print(json.dumps(getattr(predictor, method)(*arguments)))
assert not {"keras", "jax", "tensorflow", "torch"} & set(sys.modules)
"""


def _write_export(folder, task):
    """Write what `load` reads of an export with a LiteRT file, without its SavedModel; return the Keras predictor."""
    predictor = load(str(write_run(folder / "run", task)))
    file = folder / "litert" / litert.file_name("float32")
    file.parent.mkdir()
    litert_export.write_litert(predictor.model, predictor.description.task, str(file))
    files.write_json(str(folder / "assets" / CONFIG_FILE), predictor.description.to_dict())
    os.rename(folder / "run" / VOCAB_FILE, folder / "assets" / VOCAB_FILE)
    return predictor


def _numbers(value):
    """Return an answer with its numbers apart, so that these may differ a little."""
    if isinstance(value, dict):
        value = list(value.items())
    if isinstance(value, list | tuple):
        parts = [_numbers(each) for each in value]
        return [number for numbers, _ in parts for number in numbers], [rest for _, rest in parts]
    return ([value], None) if isinstance(value, float) else ([], value)


@pytest.mark.parametrize(
    "task",
    ["classification", *(pytest.param(task, marks=pytest.mark.long) for task in CALLS if task != "classification")],
)
def test_every_task_answers_as_the_model_does(tmp_path, task):
    predictor = _write_export(tmp_path, task)
    files.write_json(str(tmp_path / "call.json"), CALLS[task])
    method, arguments = CALLS[task]
    expected = json.loads(json.dumps(getattr(predictor, method)(*arguments)))
    (found, rest), (numbers, expected_rest) = (
        _numbers(json.loads(run_without(MISSING, tmp_path, PROGRAM))),
        _numbers(expected),
    )
    assert rest == expected_rest
    np.testing.assert_allclose(found, numbers, atol=1e-5)


def test_a_missing_interpreter_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setattr(litert, "check_litert_file", lambda contents, path: None)
    (tmp_path / "model.tflite").write_bytes(b"any")
    with pytest.raises(ImportError, match=r"a LiteRT file needs ai-edge-litert: pip install 'bert_tf\[litert\]'"):
        litert.LiteModel(str(tmp_path / "model.tflite"), "classification")


def test_what_needs_tensorflow_says_so(tmp_path):
    program = """
import sys

import bert_tf

sys.modules["tensorflow"] = None
for path in ("some/run", "no.tflite", "no.onnx"):
    try:
        bert_tf.load(path)
    except (ImportError, FileNotFoundError) as error:
        print(error)
"""
    lines = run_without((), tmp_path, program).splitlines()
    assert lines == [
        "`path`: everything but .tflite and .onnx files needs TensorFlow, which is not installed "
        "(pip install 'bert_tf[cpu,text]'). Received: 'some/run'",
        "`path`: no such file. Received: 'no.tflite'",
        "`path`: no such file. Received: 'no.onnx'",
    ]
