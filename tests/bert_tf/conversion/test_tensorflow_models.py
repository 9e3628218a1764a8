"""Models that transformers 4.46 saved with TensorFlow compute its outputs (golden/make_tensorflow_files.py)."""

import json
import re
import shutil
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_checkpoints import VOCABULARY, with_heads, write_hf

import bert_tf
from bert_tf.conversion.convert import convert_checkpoint
from bert_tf.conversion.loading import load_pretrained, read_pretrained
from bert_tf.tasks import MODEL_KINDS

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """The folder with a folder for each class."""
    folder = tmp_path_factory.mktemp("tensorflow_bert")
    with tarfile.open(GOLDEN / "tensorflow_bert.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def expected():
    return np.load(GOLDEN / "tensorflow_bert_outputs.npz")


def _largest_difference(outputs, expected, names):
    """Return the largest difference of outputs by name, at positions that are no padding."""
    here = expected["attention_mask"].astype(bool)
    differences = []
    for ours, theirs in names.items():
        found = np.asarray(outputs[ours] if isinstance(outputs, dict) else outputs)
        assert found.shape == expected[theirs].shape
        difference = np.abs(found - expected[theirs])
        differences.append(difference[here].max() if difference.shape[:2] == here.shape else difference.max())
    return max(differences)


SEQUENCE = {"logits": "BertForSequenceClassification.logits"}
MLM = {"masked_lm_logits": "BertForPreTraining.prediction_logits"}
LACKS = {
    "BertForMaskedLM": ("encoder/pooler", "next_sentence"),
    "BertForNextSentencePrediction": ("masked_lm", "masked_lm/output_bias"),
    "BertForTokenClassification": ("encoder/pooler",),
    "BertForQuestionAnswering": ("encoder/pooler",),
}
"""The parts of a model here that a class does not have."""
NSP = {"next_sentence_logits": "BertForPreTraining.seq_relationship_logits"}


@pytest.mark.parametrize(
    ("folder", "task", "names"),
    [
        (
            "BertModel",
            "encoder",
            {"sequence_output": "BertModel.last_hidden_state", "pooled_output": "BertModel.pooler_output"},
        ),
        ("BertForPreTraining", "pretraining", MLM | NSP),
        ("sharded", "pretraining", MLM | NSP),
        ("BertForMaskedLM", "pretraining", {"masked_lm_logits": "BertForMaskedLM.logits"}),
        (
            "BertForNextSentencePrediction",
            "pretraining",
            {"next_sentence_logits": "BertForNextSentencePrediction.logits"},
        ),
        ("BertForSequenceClassification", "classification", SEQUENCE),
        ("safetensors", "classification", SEQUENCE),
        ("BertForTokenClassification", "tagging", {"logits": "BertForTokenClassification.logits"}),
        (
            "BertForQuestionAnswering",
            "question_answering",
            {name: f"BertForQuestionAnswering.{name}" for name in ("start_logits", "end_logits")},
        ),
    ],
)
def test_every_head_computes_the_outputs_of_transformers(folder, task, names, models, expected):
    lacks = LACKS.get(folder, ())
    model, pretrained = load_pretrained(str(models / folder), allow_random_heads=task == "pretraining")
    inputs = {
        "input_ids": expected["input_ids"],
        "input_mask": expected["attention_mask"],
        "segment_ids": expected["token_type_ids"],
    }
    if task == "pretraining":
        inputs["masked_lm_positions"] = np.tile(np.arange(10, dtype=np.int32), (3, 1))
    assert (pretrained.task, type(model)) == (task, MODEL_KINDS[task].model_class())
    assert _largest_difference(model(inputs), expected, names) < TOLERANCE
    report = pretrained.report
    assert (report.unexpected, report.transposed) == ([], [])
    assert "/encoder/layer_._*/output/dense/kernel:0  [2 blocks]" in str(report)
    assert {name.partition("/dense/")[0].partition("/layer_norm/")[0] for name in report.missing} == set(lacks)
    assert all(reason.startswith("the same as bert/") for reason in report.ignored.values())


def test_labels_and_texts(models, tmp_path):
    shutil.copytree(models / "BertForSequenceClassification", tmp_path / "tf")
    (tmp_path / "tf" / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCABULARY))
    classifier = bert_tf.load(str(tmp_path / "tf"))
    assert tuple(classifier.description.labels) == ("red", "green", "blue")
    [answer] = classifier.classify(["a b c"])
    assert answer["label"] in classifier.description.labels


@pytest.mark.parametrize("output_format", ["huggingface", "google"])
def test_other_formats_are_written_from_it(output_format, models, tmp_path):
    source = str(models / "BertForTokenClassification")
    convert_checkpoint(source, str(tmp_path / "out"), output_format)
    first, again = read_pretrained(source), read_pretrained(str(tmp_path / "out"))
    assert (again.task, again.labels, again.config) == (first.task, ("O", "B-X", "I-X"), first.config)
    assert first.weights.keys() == again.weights.keys()
    assert all(np.array_equal(again.weights[name], value) for name, value in first.weights.items())


def _copy(source, target, rename=lambda name: name, change=lambda name, value: value):
    """Copy a folder, with other names and values of tensors. A name of None leaves a tensor out."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.h5"))
    with h5py.File(source / "tf_model.h5") as before, h5py.File(target / "tf_model.h5", "w") as after:

        def add(name, item):
            if isinstance(item, h5py.Dataset) and rename(name) is not None:
                after[rename(name)] = change(name, item[()])

        before.visititems(add)
    return str(target)


def _replace(pattern, replacement):
    return lambda name: re.sub(pattern, replacement, name)


def _once(rename):
    """Leave out the tensors that Keras repeats in the group of the masked-LM head."""
    return lambda name: None if re.match("mlm___cls/.*/bert/", name) else rename(name)


def _by_heads(name, value):
    """Split attention's products by heads, as `EinsumDense` did in transformers 4.2 and 4.3."""
    if re.search(r"attention/self/\w+/kernel", name):
        return value.reshape(8, 2, 4)
    if re.search(r"attention/self/\w+/bias", name):
        return value.reshape(2, 4)
    return value.reshape(2, 4, 8) if "attention/output/dense/kernel" in name else value


@pytest.mark.parametrize(
    "variant",
    [
        {"rename": _replace("tf_bert_for_pre_training", "tf_bert_for_pre_training_9")},
        {"rename": _replace("tf_bert_for_pre_training", "my_model/bert")},
        {"rename": _replace("tf_bert_for_pre_training/", "")},
        {"rename": _once(_replace(r"^\w+/\w+/", ""))},
        {"rename": _once(_replace(r"^\w+/\w+/(bert/)?", ""))},
        {"rename": _replace("(mlm|nsp)___cls/([ps])", r"cls/\2")},
        {"rename": _replace(":0$", "")},
        {"rename": _replace("word_embeddings/weight", "word_embeddings/embeddings")},
        {"rename": _replace("_embeddings/embeddings", "_embeddings/weight")},
        {"rename": _replace("_embeddings/(embeddings|weight)", "_embeddings")},
        {"rename": _replace(r"layer_\._", "layer_")},
        {"change": _by_heads},
        {"change": lambda name, value: value.astype(np.float64)},
    ],
    ids=[
        *("number", "outer model", "no model", "no group", "no group and no bert", "cls", "no :0", "word embeddings"),
        *("position embeddings", "tables", "layer", "attention by heads", "float64"),
    ],
)
def test_variants_of_names_and_shapes(variant, models, tmp_path):
    source = models / "BertForPreTraining"
    first, again = read_pretrained(str(source)), read_pretrained(_copy(source, tmp_path / "tf", **variant))
    assert again.report.unexpected == []
    assert first.weights.keys() == again.weights.keys()
    assert all(np.array_equal(again.weights[name], value) for name, value in first.weights.items())


def test_parts_hold_what_the_whole_file_holds(models):
    first, again = read_pretrained(str(models / "BertForPreTraining")), read_pretrained(str(models / "sharded"))
    assert again.report.read == "tf_model.h5.index.json"
    assert first.weights.keys() == again.weights.keys()
    assert all(np.array_equal(again.weights[name], value) for name, value in first.weights.items())


def test_a_head_is_what_the_class_says(models, tmp_path):
    choice = str(models / "BertForMultipleChoice")
    assert read_pretrained(choice).task == "multiple_choice"
    with pytest.raises(ValueError, match="no weights for regression"):
        load_pretrained(choice, "regression")
    assert load_pretrained(choice, "encoder")[1].report.missing == []
    with pytest.raises(ValueError, match=r"no weights for .*classification, which.* It holds: .*token_classification"):
        load_pretrained(str(models / "BertForTokenClassification"), "classification")
    # One output is a regressor's: of a kernel [D, 1], the last axis counts.
    one = _copy(
        models / "BertForSequenceClassification",
        tmp_path / "one",
        change=lambda name, value: value[..., :1] if name.startswith("classifier/") else value,
    )
    config = tmp_path / "one" / "config.json"
    config.write_text(
        json.dumps(json.loads(config.read_text()) | {"architectures": ["TFBertForSequenceClassification"]})
    )
    assert read_pretrained(one).task == "regression"


def test_repeated_tensors_must_agree(models, tmp_path):
    source = _copy(
        models / "BertForMaskedLM",
        tmp_path / "tf",
        change=lambda name, value: value + (name.startswith("mlm___cls") and "/bert/embeddings/word" in name),
    )
    with pytest.raises(ValueError, match=r"must occur once.*'mlm___cls/.*a second embeddings\.word_embeddings\.weight"):
        read_pretrained(source)


def test_the_report_says_which_file_was_read(models, tmp_path):
    source = write_hf(tmp_path / "hf", with_heads("mlm", "nsp"), architectures=["BertForPreTraining"])
    shutil.copy(models / "BertForPreTraining" / "tf_model.h5", tmp_path / "hf")
    report = read_pretrained(source).report
    assert (report.read, report.unread) == ("model.safetensors", ("tf_model.h5",))
    assert "  read        model.safetensors\n  not read    tf_model.h5\n" in str(report)
    (tmp_path / "hf" / "model.safetensors").unlink()
    assert read_pretrained(source).report.read == "tf_model.h5"


def test_damaged_and_missing_files_are_named(models, tmp_path):
    folder = tmp_path / "tf"
    shutil.copytree(models / "sharded", folder)
    last = folder / "tf_model-00003-of-00003.h5"
    data = last.read_bytes()
    last.write_bytes(data[:-100])
    with pytest.raises(ValueError, match=r"tf_model-00003-of-00003\.h5: the weights cannot be read"):
        read_pretrained(str(folder))
    last.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(ValueError, match=r"tf_model-00003-of-00003\.h5: .*run `git lfs pull`"):
        read_pretrained(str(folder))
    last.unlink()
    with pytest.raises(FileNotFoundError, match=r"tf_model-00003-of-00003\.h5"):
        read_pretrained(str(folder))
    shutil.copy(folder / "tf_model-00002-of-00003.h5", last)
    with pytest.raises(ValueError, match=r"00003\.h5: each tensor must be in one file\. Received: 'bert/encoder"):
        read_pretrained(str(folder))
    for damaged in ("[]", "{}", '{"weight_map": {"a": 1}}', '{"weight_map": {"a": "../elsewhere.h5"}}'):
        (folder / "tf_model.h5.index.json").write_text(damaged)
        with pytest.raises(ValueError, match=r"tf_model\.h5\.index\.json must hold `weight_map`"):
            read_pretrained(str(folder))
