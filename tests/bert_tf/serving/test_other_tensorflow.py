"""Every signature of exports made by this TensorFlow loads and answers under 2.20, in the environment `.venv-2.20`.

`make test TENSORFLOW=2.20` makes that environment.
"""

import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from small_model import write_multi_task_run, write_run

PYTHON = Path(__file__).resolve().parents[3] / ".venv-2.20" / "bin" / "python"
TEXTS = [b"The old miller.", b"A young sailor forgot the letter [MASK] near the river"]
TASKS = (
    *("classification", "multi_label", "regression", "tagging", "question_answering", "retrieval"),
    *("reranking", "multiple_choice", "seq2seq", "pretraining"),
)
SEVERAL = {"topic": "classification", "names": "tagging", "find": "retrieval", "order": "reranking"}
SEVERAL |= {"pick": "multiple_choice"}
ARRAYS = {
    "input_ids": [[2, 7, 8, 4, 3], [2, 9, 3, 0, 0]],
    "input_mask": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
    "segment_ids": [[0] * 5] * 2,
    "masked_lm_positions": [[3], [1]],
    "seed": [5, 6],
}

# It needs neither this package nor the tests: a server has TensorFlow and TensorFlow Text alone.
PROGRAM = """
import pickle, sys
import numpy as np, tensorflow as tf, tensorflow_text
expected = pickle.loads(open(sys.argv[1], "rb").read())
for folder, signatures in expected.items():
    model = tf.saved_model.load(folder)
    for name, (inputs, outputs) in signatures.items():
        found = model.signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        assert found.keys() == outputs.keys(), (folder, name)
        for key, value in outputs.items():
            if value.dtype == object:
                assert found[key].numpy().tolist() == value.tolist(), (folder, name, key)
            else:
                np.testing.assert_allclose(found[key].numpy(), value, rtol=1e-4, atol=1e-5, err_msg=folder + name + key)
print(tf.__version__, sum(map(len, expected.values())))
"""


def _inputs(model, name):
    """Return inputs of a signature: the texts, a list of both for an input of lists, or arrays."""
    inputs = {}
    for key, spec in _specs(model, name).items():
        if spec.dtype != tf.string:
            inputs[key] = np.array(ARRAYS[key], np.int32)
        elif key == "inputs":
            inputs[key] = _examples(_specs(model, name.removesuffix("examples").removesuffix("_") or "serving_default"))
        else:
            inputs[key] = TEXTS if spec.shape.rank == 1 else [TEXTS, [TEXTS[0], b""]]
    return inputs


def _specs(model, name):
    return model.signatures[name].structured_input_signature[1]


def _examples(specs):
    """Return serialized examples with the texts of another signature."""
    protos = []
    for text in TEXTS:
        feature = {}
        for key, spec in specs.items():
            if spec.dtype == tf.string:
                values = tf.train.BytesList(value=[text] if spec.shape.rank == 1 else TEXTS)
                feature[key] = tf.train.Feature(bytes_list=values)
        features = tf.train.Features(feature=feature)
        protos.append(tf.train.Example(features=features).SerializeToString())
    return protos


@pytest.mark.release
@pytest.mark.skipif(not PYTHON.exists(), reason="no .venv-2.20: make test TENSORFLOW=2.20")
@pytest.mark.skipif(tf.__version__.startswith("2.20."), reason="this is TensorFlow 2.20 itself")
def test_exports_answer_under_the_older_tensorflow(tmp_path):
    pytest.importorskip("tensorflow_text")
    from bert_tf.serving.export import export_saved_model
    from bert_tf.serving.options import ExportOptions

    drawn = ExportOptions(top_k=5)
    cases = {task: (task, None) for task in TASKS} | {"drawn": ("seq2seq", drawn), "multi_task": ("", None)}
    expected = {}
    for name, (task, options) in cases.items():
        run = write_run(tmp_path / name, task) if task else write_multi_task_run(tmp_path / name, SEVERAL)
        folder = export_saved_model(str(run), str(tmp_path / f"{name}_export"), options)
        model = tf.saved_model.load(folder)
        expected[folder] = {}
        for signature in model.signatures:
            inputs = _inputs(model, signature)
            outputs = model.signatures[signature](**{key: tf.constant(value) for key, value in inputs.items()})
            expected[folder][signature] = (inputs, {key: value.numpy() for key, value in outputs.items()})
    (tmp_path / "expected.pickle").write_bytes(pickle.dumps(expected))
    command = [str(PYTHON), "-c", PROGRAM, str(tmp_path / "expected.pickle")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.split() == [result.stdout.split()[0], str(sum(map(len, expected.values())))]
    assert result.stdout.startswith("2.20.")
