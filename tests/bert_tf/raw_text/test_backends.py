"""Every task is fitted, evaluated, asked, saved and loaded on raw strings by both backends of Keras."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = str(Path(__file__).resolve().parents[2])
PROGRAM = """
import json
import sys

import bert_tf
import keras
import numpy as np
from small_model import SMALL
from bert_tf.serving.export import export_saved_model
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

words = ["the", "old", "miller", "found", "a", "young", "sailor", "near", "river"]
tokenizer = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *words])
config = SMALL.replace(vocab_size=tokenizer.vocab_size, num_layers=1)
texts = [" ".join((words * 2)[start : start + 3 + start % 9]) for start in range(9)]
tags = [["B" if word == "miller" else "O" for word in text.split()] for text in texts]
answers = [{"text": [text[-3:]], "answer_start": [len(text) - 3]} for text in texts]
cases = {
    "BertClassifier": (("a", "b"), texts, ["a", "b", "a"] * 3, lambda model: model.classify(texts)),
    "BertMultiLabelClassifier": (("a", "b"), texts, [["a"], [], ["a", "b"]] * 3, lambda model: model.classify(texts)),
    "BertRegressor": (None, (texts, texts), np.linspace(0, 1, 9), lambda model: model.score(texts, texts)),
    "BertTokenClassifier": (("B", "O"), [text.split() for text in texts], tags, lambda model: model.tag(texts)),
    "BertQuestionAnswerer": (None, (texts, texts), answers, lambda model: model.answer(texts, texts)),
    "BertDualEncoder": (None, (texts, texts[::-1]), None, lambda model: model.search(texts, texts)),
}
published = bert_tf.BertPretrainer(config)
published.set_tokenizer(tokenizer)
assert len(published.fill_mask(["the [MASK] miller"], top_k=2)[0][0]) == 2
[completed] = published.complete(["the [MASK:3] miller", "a [MASK]"], seed=1)[:1]
assert completed["completed"].split()[::4] == ["the", "miller"]
assert published.log_likelihood(["the miller"])[0]["log_likelihood"] < 0.0
[explanation] = published.explain(["the [MASK] miller"])
difference = explanation["value"] - explanation["baseline_value"]
assert abs(sum(token["attribution"] for token in explanation["tokens"]) - difference) <= 0.0101 * abs(difference)
published.save_pretrained(f"{sys.argv[1]}/published")
for name, (classes, x, y, ask) in cases.items():
    options = {"classes": classes} if classes else {}
    model = getattr(bert_tf, name).from_pretrained(f"{sys.argv[1]}/published", max_length=24, **options)
    np.testing.assert_array_equal(model.encoder.blocks[0].weights[0], published.encoder.blocks[0].weights[0])
    model.compile(keras.optimizers.Adam(1e-3))
    history = model.fit(x, y, epochs=2, batch_size=4, validation_split=0.3, verbose=0).history
    assert np.isfinite(history["loss"] + history["val_loss"]).all(), name
    assert np.isfinite(model.evaluate(x, y, batch_size=4, verbose=0)), name
    outputs = model.predict(x, batch_size=4, verbose=0)
    assert len(ask(model)) == 9, name
    path = f"{sys.argv[1]}/{name}.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    for one, other in zip(keras.tree.flatten(loaded.predict(x, verbose=0)), keras.tree.flatten(outputs), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert len(ask(loaded)) == 9, name
classifier = keras.models.load_model(f"{sys.argv[1]}/BertClassifier.keras")
version = classifier.export_for_serving(f"{sys.argv[1]}/export")
for served, own in zip(bert_tf.load(version).classify(texts), classifier.classify(texts), strict=True):
    np.testing.assert_allclose(*(list(answer["probabilities"].values()) for answer in (served, own)), atol=1e-5)
try:
    export_saved_model(version)
except ValueError as error:
    assert "must hold trained or published weights, not an export" in str(error), error
else:
    raise AssertionError("an export was exported")
print(json.dumps(sorted(cases)))
"""


@pytest.mark.long
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_all_tasks(tmp_path, backend):
    pytest.importorskip(backend)
    path = os.pathsep.join([os.environ["PYTHONPATH"], TESTS])
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path],
        env=os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert len(json.loads(result.stdout)) == 6
