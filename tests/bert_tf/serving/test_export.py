"""Exports answer raw strings as the Python predictor does, and load where this project is not installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from small_model import LABELS, write_run

from bert_tf.serving.export import TOP_K, export_saved_model
from bert_tf.serving.predictor import load

pytest.importorskip("tensorflow_text")

TEXTS = [
    "The old miller.",
    "",
    "A young sailor FORGOT the letter, near the river before the storm",
    "naïve Ünïcödé 漢字 [MASK] \u200d",
    "the wooden boat " * 40,
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {
        "single": write_run(folder / "single", "classification"),
        "pairs": write_run(folder / "pairs", "classification", pairs=True),
        "masked_lm": write_run(folder / "masked_lm", "pretraining"),
    }


@pytest.fixture(scope="module")
def exports(runs):
    return {name: export_saved_model(str(run)) for name, run in runs.items()}


@pytest.fixture(scope="module")
def signatures(exports):
    loaded = {name: tf.saved_model.load(path) for name, path in exports.items()}
    # The loaded objects must outlive their signatures.
    return {name: (module, module.signatures) for name, module in loaded.items()}


def _ids(predictor, texts, pairs=None):
    rows = [
        predictor.tokenizer.encode_pair(text, pair, predictor.description.max_seq_length)
        for text, pair in zip(texts, pairs or [None] * len(texts), strict=True)
    ]
    length = max(len(ids) for ids, _ in rows) + 2
    arrays = {name: np.zeros((len(rows), length), np.int32) for name in ("input_ids", "input_mask", "segment_ids")}
    for row, (ids, segments) in enumerate(rows):
        arrays["input_ids"][row, : len(ids)] = ids
        arrays["segment_ids"][row, : len(ids)] = segments
        arrays["input_mask"][row, : len(ids)] = 1
    return {name: tf.constant(array) for name, array in arrays.items()}


@pytest.mark.parametrize("name", ["single", "pairs"])
def test_classifiers_equal_the_predictor(runs, signatures, name):
    predictor = load(str(runs[name]))
    pairs = TEXTS[::-1] if name == "pairs" else None
    predicted = predictor.classify(TEXTS, pairs)
    expected = np.array([list(answer["probabilities"].values()) for answer in predicted])
    inputs = {"text": tf.constant(TEXTS)} | ({"text_pair": tf.constant(pairs)} if pairs else {})
    served = signatures[name][1]["serving_default"](**inputs)
    np.testing.assert_allclose(served["probabilities"], expected, atol=1e-5)
    assert [label.decode() for label in served["labels"].numpy()] == [answer["label"] for answer in predicted]
    np.testing.assert_allclose(tf.nn.softmax(served["logits"]), expected, atol=1e-5)
    by_ids = signatures[name][1]["token_ids"](**_ids(predictor, TEXTS, pairs))
    np.testing.assert_allclose(by_ids["probabilities"], expected, atol=1e-5)
    # One text alone, and the order of the batch, change nothing.
    alone = signatures[name][1]["serving_default"](**{key: value[2:3] for key, value in inputs.items()})
    np.testing.assert_allclose(alone["probabilities"][0], expected[2], atol=1e-5)


def test_the_masked_lm_equals_the_predictor(runs, signatures):
    predictor = load(str(runs["masked_lm"]))
    texts = ["the [MASK] miller [MASK] the boat", "[MASK]", "a heavy [MASK]."]
    predicted = predictor.fill_mask(texts, top_k=TOP_K)
    served = signatures["masked_lm"][1]["serving_default"](text=tf.constant(texts))
    assert served["num_masks"].numpy().tolist() == [2, 1, 1]
    for row, masks in enumerate(predicted):
        for place, pieces in enumerate(masks):
            scores = [score for _, score in pieces]
            np.testing.assert_allclose(served["probabilities"][row, place], scores, atol=1e-5)
            assert [piece.decode() for piece in served["pieces"][row, place].numpy()] == [piece for piece, _ in pieces]
    none = signatures["masked_lm"][1]["serving_default"](text=tf.constant(["no mask"]))
    assert none["num_masks"].numpy().tolist() == [0]
    ids = _ids(predictor, ["the old boat"]) | {"masked_lm_positions": tf.constant([[1, 2]])}
    by_ids = signatures["masked_lm"][1]["token_ids"](**ids)
    direct = predictor.model(ids)
    np.testing.assert_allclose(by_ids["masked_lm_logits"], direct["masked_lm_logits"], atol=1e-5)
    np.testing.assert_allclose(by_ids["next_sentence_logits"], direct["next_sentence_logits"], atol=1e-5)


def test_long_texts_are_cut_as_in_training(runs, signatures):
    predictor = load(str(runs["single"]))
    text = "the wooden boat " * 40
    short = predictor.tokenizer.encode_pair(text, None, 24)[0]
    assert len(short) == 24
    served = signatures["single"][1]["serving_default"](text=tf.constant([text, text + "near the river"]))
    np.testing.assert_array_equal(served["logits"][0], served["logits"][1])


def test_no_text_at_all(signatures):
    served = signatures["single"][1]["serving_default"](text=tf.constant([], tf.string))
    assert served["probabilities"].shape == (0, 3)


def test_assets(exports, runs):
    vocab = (runs["single"] / "vocab.txt").read_text()
    assets = Path(exports["single"]) / "assets"
    assert (assets / "vocab.txt").read_text() == vocab
    assert tuple((assets / "labels.txt").read_text().split()) == LABELS
    assert sorted(os.listdir(os.path.join(exports["masked_lm"], "assets"))) == ["config.json", "vocab.txt"]


def test_versions_count_up(runs, exports, tmp_path):
    assert exports["single"] == str(runs["single"] / "export" / "1")
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").mkdir()
    assert export_saved_model(str(runs["single"]), str(tmp_path)) == str(tmp_path / "8")
    assert sorted(os.listdir(tmp_path)) == ["7", "8", "notes"]


def test_an_interrupted_export_leaves_nothing(runs, tmp_path, monkeypatch):
    def interrupted(module, path, signatures):
        os.makedirs(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(tf.saved_model, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_saved_model(str(runs["single"]), str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_an_unwritable_folder(runs, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="--export_dir must be a folder that can be written to"):
        export_saved_model(str(runs["single"]), str(tmp_path / "file"))


_CLIENT = """
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"bert_tf", "data_pipelines", "experiments"}:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
import tensorflow as tf
import tensorflow_text

outputs = tf.saved_model.load(sys.argv[1]).signatures["serving_default"](text=tf.constant(json.loads(sys.argv[2])))
print(json.dumps(outputs["probabilities"].numpy().tolist()))
"""


def test_it_loads_where_this_project_is_not(runs, exports):
    result = subprocess.run(
        [sys.executable, "-c", _CLIENT, exports["single"], json.dumps(TEXTS)],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    expected = [list(answer["probabilities"].values()) for answer in load(str(runs["single"])).classify(TEXTS)]
    np.testing.assert_allclose(json.loads(result.stdout.splitlines()[-1]), expected, atol=1e-5)
