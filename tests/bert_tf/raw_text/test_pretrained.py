"""Models come from runs and published weights with their tokenizer, and go on as Keras files, exports and folders."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from launch_many import run_program
from small_model import LABELS, SMALL, shake, write_run

import bert_tf
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

TEXTS = ["the old miller found a young sailor", "a boat near the river"]
CLASSES = {
    "classification": (bert_tf.BertClassifier, "classify", (TEXTS,)),
    "multi_label": (bert_tf.BertMultiLabelClassifier, "classify", (TEXTS,)),
    "regression": (bert_tf.BertRegressor, "score", (TEXTS,)),
    "tagging": (bert_tf.BertTokenClassifier, "tag", (TEXTS,)),
    "question_answering": (bert_tf.BertQuestionAnswerer, "answer", (TEXTS, TEXTS)),
    "multiple_choice": (bert_tf.BertMultipleChoice, "choose", (TEXTS, [["a boat", "the river"]] * 2)),
    "reranking": (bert_tf.BertReranker, "rerank", (TEXTS[0], TEXTS)),
    "retrieval": (bert_tf.BertDualEncoder, "embed", (TEXTS,)),
}


@pytest.mark.parametrize("task", CLASSES)
def test_a_run_answers_as_when_it_is_loaded(tmp_path, task):
    path = str(write_run(tmp_path, task))
    model_class, method, arguments = CLASSES[task]
    model = model_class.from_pretrained(path)
    found, expected = (getattr(each, method)(*arguments) for each in (model, bert_tf.load(path)))
    if task in ("regression", "retrieval"):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    elif task == "reranking":
        assert [each["index"] for each in found] == [each["index"] for each in expected]
    elif task in ("classification", "multi_label", "multiple_choice"):
        for one, other in zip(found, expected, strict=True):
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)
    else:
        assert [answer.get("tags", answer.get("answer")) for answer in found] == [
            answer.get("tags", answer.get("answer")) for answer in expected
        ]


@pytest.fixture
def published(tmp_path):
    """Return a folder of Hugging Face with a classifier of three classes."""
    tokens = [*SPECIAL_TOKENS, *["the", "old", "miller", "found", "a", "young", "sailor", "boat", "near", "river"]]
    tokenizer = WordPieceTokenizer.from_tokens(tokens)
    model = bert_tf.BertClassifier(SMALL.replace(vocab_size=len(tokens), num_layers=1), 3)
    shake(model)
    model.set_tokenizer(tokenizer, classes=LABELS)
    model.save_pretrained(str(tmp_path / "published"))
    return model, str(tmp_path / "published")


def test_published_weights_keep_their_classes_or_get_others(published):
    model, folder = published
    again = bert_tf.BertClassifier.from_pretrained(folder)
    assert again.preprocessor.description.labels == LABELS
    np.testing.assert_allclose(again.predict(TEXTS, verbose=0), model.predict(TEXTS, verbose=0), atol=1e-6)
    assert "TaskPreprocessor(classification, max_length=32, labels=['miller'" in repr(again.preprocessor)
    other = bert_tf.BertClassifier.from_pretrained(folder, classes=["neg", "pos"], max_length=8, pooling="mean")
    assert (other.num_classes, other.pooling, other.preprocessor.description.max_seq_length) == (2, "mean", 8)
    np.testing.assert_array_equal(other.encoder.blocks[0].weights[0], model.encoder.blocks[0].weights[0])
    tagger = bert_tf.BertTokenClassifier.from_pretrained(folder, classes=["O", "B"])
    assert tagger.predict([["old", "miller"]], verbose=0).shape[-1] == 2


@pytest.mark.parametrize(
    ("model_class", "options", "message"),
    [
        (bert_tf.BertTokenClassifier, {}, r"`classes` must be given, because .* has no head for tagging"),
        (bert_tf.BertRegressor, {"classes": ["a", "b"]}, r"`classes` must be left out for BertRegressor"),
        (bert_tf.BertClassifier, {"classes": "ab"}, r"`classes` must be a list of names\. Received: 'ab'"),
        (bert_tf.BertClassifier, {"classes": ["a"]}, r"`labels` must be different names, two or more"),
        (bert_tf.BertClassifier, {"max_length": 64}, r"at least the rows' length of 64"),
        (bert_tf.BertClassifier, {"focus": 2}, r"`focus` is no setting of classification; those are max_seq_length"),
        (bert_tf.BertEncoder, {"pooling": "mean"}, r"`pooling` is no setting of BertEncoder"),
        (bert_tf.BertPretrainer, {}, r"masked_lm"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(published, model_class, options, message):
    with pytest.raises(ValueError, match=message):
        model_class.from_pretrained(published[1], **options)


PROGRAM = """
import json
import sys

import bert_tf
import keras

model = keras.models.load_model(sys.argv[1])
texts = json.loads(sys.argv[2])
print(json.dumps([model.predict(texts, verbose=0).tolist(), model.classify(texts)]))
"""
FIT = """
history = model.fit(texts, [0, "river"], verbose=0).history
assert len(history["loss"]) == 1
"""


@pytest.mark.parametrize("backend", ["tensorflow", pytest.param("jax", marks=pytest.mark.long)])
def test_a_keras_file_holds_the_tokenizer(published, tmp_path, backend):
    pytest.importorskip(backend)
    model, _ = published
    model.compile(keras.optimizers.Adam(1e-3), metrics=["accuracy"])
    model.save(tmp_path / "model.keras")
    arguments = (str(tmp_path / "model.keras"), json.dumps(TEXTS))
    if backend == "tensorflow":
        result = run_program(PROGRAM + FIT, *arguments, folder=tmp_path)
    else:
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments],
            env=os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert result.returncode == 0, result.stderr
    logits, answers = json.loads(result.stdout)
    np.testing.assert_allclose(logits, model.predict(TEXTS, verbose=0), atol=1e-4)
    assert [answer["label"] for answer in answers] == [answer["label"] for answer in model.classify(TEXTS)]


def test_a_model_is_exported_with_raw_strings(published, tmp_path):
    pytest.importorskip("tensorflow_text")
    model, _ = published
    version = model.export_for_serving(str(tmp_path / "export"))
    found, expected = (each.classify(TEXTS) for each in (bert_tf.load(version), model))
    for one, other in zip(found, expected, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
    bare = bert_tf.BertClassifier(SMALL, 2)
    with pytest.raises(ValueError, match=r"the model needs its tokenizer: make it by `from_pretrained`"):
        bare.export_for_serving(str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_a_clone_has_the_tokenizer_and_new_ones_replace_it(published):
    model, _ = published
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(clone.predict(TEXTS, verbose=0), model.predict(TEXTS, verbose=0), atol=1e-6)
    assert model.classify(TEXTS)[0]["probabilities"].keys() == set(LABELS)
    model.set_tokenizer(model.preprocessor.tokenizer, classes=["a", "b", "c"])
    assert model.classify(TEXTS)[0]["probabilities"].keys() == {"a", "b", "c"}
