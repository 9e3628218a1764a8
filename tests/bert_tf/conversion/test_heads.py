"""Tests of the task that a published head is read for: the wanted one, or what the source says beside the weights."""

import json

import numpy as np
import pytest
from small_checkpoints import SIZES, VOCABULARY, hf_encoder, rows, with_heads, write_hf
from small_model import shake

from bert_tf.configs import BertConfig
from bert_tf.conversion.convert import convert_checkpoint, save_pretrained
from bert_tf.conversion.loading import load_pretrained, read_pretrained
from bert_tf.models.classifier import BertClassifier
from bert_tf.models.multi_label_classifier import BertMultiLabelClassifier
from bert_tf.models.multiple_choice import BertMultipleChoice
from bert_tf.models.regressor import BertRegressor
from bert_tf.models.token_classifier import BertTokenClassifier
from bert_tf.serving.predictor import load
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

LABELS = {"0": "B-PER", "1": "I-PER", "2": "O"}
CONFIG = BertConfig(
    vocab_size=SIZES["vocab"],
    hidden_size=SIZES["hidden"],
    num_layers=1,
    num_heads=SIZES["heads"],
    intermediate_size=SIZES["intermediate"],
    max_position_embeddings=SIZES["positions"],
)


def _hf(folder, classes=3, **config):
    return write_hf(folder, with_heads("classifier", classes=classes), id2label=LABELS, **config)


@pytest.mark.parametrize(
    ("said", "classes", "received"),
    [
        ({"architectures": ["BertForMultipleChoice"]}, 3, r"architectures \['BertForMultipleChoice'\]"),
        ({"architectures": ["BertCrfForNer"]}, 3, r"architectures \['BertCrfForNer'\]"),
        ({"architectures": ["BertModel"]}, 3, r"architectures \['BertModel'\]"),
        ({"architectures": []}, 3, r"architectures \[\]"),
        ({}, 3, r"architectures \[\], problem_type None"),
        ({"architectures": ["BertForSequenceClassification"], "problem_type": "regression"}, 3, "problem_type 'regr"),
        (
            {"architectures": ["BertForSequenceClassification"], "problem_type": "multi_label_classification"},
            1,
            r"problem_type 'multi",
        ),
        ({"architectures": ["BertForTokenClassification"]}, 1, r"architectures \['BertForTokenClassification'\]"),
    ],
)
def test_a_head_whose_task_is_unknown_is_not_guessed(said, classes, received, tmp_path):
    source = _hf(tmp_path / "hf", classes, **said)
    message = rf"'classifier\.weight' \({classes} outputs?\) must be known.*config\.json: `architectures` must name one"
    for read in (read_pretrained, load_pretrained, load):
        with pytest.raises(ValueError, match=f"{message} of .*Received: .*{received}"):
            read(source)
    # The encoder is there for any use.
    _, pretrained = load_pretrained(source, "encoder")
    assert set(pretrained.report.ignored) == {"classifier.weight", "classifier.bias"}
    assert (pretrained.task, pretrained.report.unexpected) == ("encoder", [])


@pytest.mark.parametrize("architectures", [None, [], ["BertCrfForNer"]])
@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("tagging", BertTokenClassifier),
        ("classification", BertClassifier),
        ("multi_label", BertMultiLabelClassifier),
    ],
)
def test_the_wanted_task_decides_where_the_source_is_silent(task, kind, architectures, tmp_path):
    model, pretrained = load_pretrained(_hf(tmp_path / "hf", architectures=architectures), task)
    assert type(model) is kind
    assert (pretrained.task, pretrained.labels) == (task, ("B-PER", "I-PER", "O"))
    assert pretrained.report.unexpected == []
    assert pretrained.report.missing == []


def test_what_the_source_says_is_not_overruled(tmp_path):
    tagger = _hf(tmp_path / "tagger", architectures=["BertForTokenClassification"])
    with pytest.raises(ValueError, match=r"no weights for classification.* It holds: .*token_classification"):
        load_pretrained(tagger, "classification")
    choice = _hf(tmp_path / "choice", 1, architectures=["BertForMultipleChoice"])
    with pytest.raises(ValueError, match="no weights for regression"):
        load_pretrained(choice, "regression")
    # One class of several and several labels have the same head.
    classifier = _hf(tmp_path / "classifier", architectures=["BertForSequenceClassification"])
    assert load_pretrained(classifier, "multi_label")[1].task == "multi_label"
    assert read_pretrained(classifier).task == "classification"


@pytest.mark.parametrize(
    ("problem_type", "classes", "task"),
    [
        ("regression", 1, "regression"),
        ("multi_label_classification", 3, "multi_label"),
        ("single_label_classification", 3, "classification"),
    ],
)
def test_the_type_of_the_problem_says_it_too(problem_type, classes, task, tmp_path):
    assert read_pretrained(_hf(tmp_path / "hf", classes, problem_type=problem_type)).task == task


def test_unknown_architectures_are_told(tmp_path, caplog):
    crf = {"crf.transitions": np.zeros((3, 3), np.float32)}
    tensors = with_heads("classifier") | crf
    source = write_hf(tmp_path / "crf", tensors, architectures=["BertCrfForNer"], id2label=LABELS)
    _, pretrained = load_pretrained(source, "tagging")
    assert "`architectures` names BertCrfForNer, which is no class of `transformers` that is known here" in caplog.text
    assert "without a counterpart here: crf.transitions" in caplog.text
    assert pretrained.report.unexpected == ["crf.transitions"]
    caplog.clear()
    load(write_hf(tmp_path / "encoder", hf_encoder() | crf, architectures=["BertForSomething"]))
    assert "names BertForSomething" in caplog.text
    assert "without a counterpart here: crf.transitions" in caplog.text


def _model(task):
    models = {
        "classification": lambda: BertClassifier(CONFIG, 3),
        "multi_label": lambda: BertMultiLabelClassifier(CONFIG, 3),
        "tagging": lambda: BertTokenClassifier(CONFIG, 3),
        "regression": lambda: BertRegressor(CONFIG),
        "multiple_choice": lambda: BertMultipleChoice(CONFIG),
    }
    model = models[task]()
    shake(model)
    return model


@pytest.mark.parametrize("task", ["classification", "multi_label", "regression", "tagging", "multiple_choice"])
def test_a_checkpoint_of_google_keeps_the_task_and_its_labels(task, tmp_path):
    model = _model(task)
    labels = () if task in ("regression", "multiple_choice") else tuple(LABELS.values())
    tokenizer = WordPieceTokenizer.from_tokens(VOCABULARY)
    save_pretrained(model, str(tmp_path / "google"), "google", tokenizer=tokenizer, labels=labels)
    again, pretrained = load_pretrained(str(tmp_path / "google" / "bert_model.ckpt"))
    assert type(again) is type(model)
    assert (pretrained.task, pretrained.labels) == (task, labels)
    assert np.array_equal(again(rows()), model(rows()))
    assert load(str(tmp_path / "google")).description.task == task
    # On to Hugging Face and back, and the same once more.
    convert_checkpoint(str(tmp_path / "google"), str(tmp_path / "hf"), "huggingface")
    convert_checkpoint(str(tmp_path / "hf"), str(tmp_path / "third"), "google")
    third = read_pretrained(str(tmp_path / "third"))
    assert (third.task, third.labels) == (task, labels or third.labels)


def test_a_checkpoint_without_a_task_is_what_the_wanted_task_says(tmp_path, caplog):
    save_pretrained(_model("tagging"), str(tmp_path / "google"), "google", labels=tuple(LABELS.values()))
    file = tmp_path / "google" / "bert_task.json"
    file.unlink()
    assert load_pretrained(str(tmp_path / "google"), "tagging")[1].task == "tagging"
    assert "run_classifier.py" not in caplog.text
    assert read_pretrained(str(tmp_path / "google")).task == "classification"
    assert "does not say whether its head is a classifier's or a tagger's" in caplog.text
    file.write_text(json.dumps({"task": "tagger"}))
    with pytest.raises(ValueError, match=r"bert_task\.json: `task` must be one of .*tagging.*Received: .*'tagger'"):
        read_pretrained(str(tmp_path / "google"))
    file.write_text(json.dumps({"task": "regression", "labels": []}))
    with pytest.raises(
        ValueError, match=r"'output_weights' \(3 outputs\) must be known.*bert_task\.json names regression"
    ):
        read_pretrained(str(tmp_path / "google"))


def test_prefixes_of_wrappers_are_taken_off(tmp_path):
    plain = with_heads("classifier")
    expected = read_pretrained(write_hf(tmp_path / "plain", plain, architectures=["BertForSequenceClassification"]))
    for number, prefix in enumerate(
        ("module.", "model.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.model.")
    ):
        tensors = {f"{prefix}{name}": value for name, value in plain.items()}
        folder = tmp_path / str(number)
        found = read_pretrained(write_hf(folder, tensors, architectures=["BertForSequenceClassification"]))
        assert found.report.unexpected == []
        assert found.report.loaded.keys() == expected.report.loaded.keys()
        assert all(np.array_equal(found.weights[name], value) for name, value in expected.weights.items())
    twice = plain | {"module.classifier.bias": plain["classifier.bias"]}
    with pytest.raises(ValueError, match=r"each weight must occur once\. Received: .*a second classifier\.bias"):
        read_pretrained(write_hf(tmp_path / "twice", twice, architectures=["BertForSequenceClassification"]))
