"""An export answers in a fresh environment with only TensorFlow, TensorFlow Text and their dependencies."""

import json
import os
import re
import subprocess
import venv
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from small_model import write_run

from bert_tf.serving.export import export_saved_model
from bert_tf.serving.predictor import load

pytest.importorskip("tensorflow_text")

TEXTS = ["The old miller.", "", "naïve Ünïcödé 漢字 [MASK] \u200d", "the wooden boat " * 40]

_CLIENT = """
import importlib.util, json, sys
import tensorflow as tf
import tensorflow_text

for name in ("bert_tf", "data_pipelines", "experiments", "keras_hub", "tokenizers"):
    assert importlib.util.find_spec(name) is None, name
outputs = tf.saved_model.load(sys.argv[1]).signatures["serving_default"](text=tf.constant(json.loads(sys.argv[2])))
print(json.dumps(outputs["probabilities"].numpy().tolist()))
"""


def _needed(name, found):
    """Return the names of a distribution and of all those that it requires."""
    name = re.sub(r"[-_.]+", "-", name).lower()
    if name in found:
        return
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:  # required only on other systems
        return
    found[name] = distribution
    for requirement in distribution.requires or ():
        if "extra ==" not in requirement:
            _needed(re.match(r"[\w.-]+", requirement)[0], found)


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Return the interpreter of a fresh environment, whose packages are links to those of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python3*/site-packages")
    found: dict[str, metadata.Distribution] = {}
    for name in ("tensorflow", "tensorflow-text"):
        _needed(name, found)
    assert "bert-tf" not in found
    for distribution in found.values():
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            source = Path(distribution.locate_file(top))
            if source.exists() and not (packages / top).exists():
                (packages / top).symlink_to(source)
    return str(folder / "bin" / "python")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "classifier", "classification")


@pytest.fixture(scope="module")
def export(run):
    return export_saved_model(str(run))


def _run(python, *arguments):
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    # Python would import modules from the working directory, so it is not the project's.
    result = subprocess.run(
        [python, *arguments],
        cwd=Path(python).parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


@pytest.mark.long
def test_the_export_answers(python, run, export):
    found = json.loads(_run(python, "-c", _CLIENT, export, json.dumps(TEXTS)).splitlines()[-1])
    expected = [list(answer["probabilities"].values()) for answer in load(str(run)).classify(TEXTS)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.long
def test_saved_model_cli_shows_the_signatures(python, export):
    tool = ("-m", "tensorflow.python.tools.saved_model_cli", "show", "--dir", export, "--tag_set", "serve")
    shown = {
        name: _run(python, *tool, "--signature_def", name) for name in ("serving_default", "examples", "token_ids")
    }
    for name, words in {
        "serving_default": ["inputs['text']", "outputs['labels']", "outputs['probabilities']", "outputs['logits']"],
        "examples": ["inputs['inputs']", "outputs['classes']", "outputs['scores']", "tensorflow/serving/classify"],
        "token_ids": ["inputs['input_ids']", "inputs['input_mask']", "inputs['segment_ids']", "dtype: DT_INT32"],
    }.items():
        for word in words:
            assert word in shown[name], (name, word, shown[name])
