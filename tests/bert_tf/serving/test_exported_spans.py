"""The signatures of taggers find the spans that the predictor finds, in each scheme."""

import numpy as np
import pytest
import tensorflow as tf
from small_model import TAGS, write_run

from bert_tf.serving.export import signatures_of
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.predictor import Predictor, load

pytest.importorskip("tensorflow_text")

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TEXTS = [" ".join(LETTERS[start:] + LETTERS[:start]) for start in range(0, 26, 4)]


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    """A tagger of random weights that gives every tag."""
    predictor = load(str(write_run(tmp_path_factory.mktemp("spans") / "run", "tagging")))
    tokens = predictor.tokenizer.encode(" ".join(LETTERS))
    logits = np.asarray(predictor.model(np.array([tokens[start : start + 10] for start in (0, 8, 16)])))
    bias = predictor.model.token_classification.dense.bias
    bias.assign(np.asarray(bias) - logits.mean(axis=(0, 1)))
    assert {tag for answer in predictor.tag(TEXTS) for tag in answer["tags"]} == set(TAGS), "every tag must occur"
    return predictor


@pytest.mark.parametrize(
    "labels",
    [
        ("B-X", "M-X", "E-X", "S-X"),
        ("U_X", "U_Y", "L_X", "O"),
        ("per-son-B", "per-son-I", "LOC-I", "O"),
        ("I-X", "I-Y", "I-a-b", "O"),
        ("B", "E", "S", "M"),
        ("NN", "VB", "X", "O"),
        ("B-X", "I-X", "B-Y", "strange"),
    ],
)
def test_exports_find_the_spans_of_the_predictor(tagger, labels):
    description = tagger.description.replace(labels=labels)
    module = signatures_of("tagging")(tagger.model, description, tagger.tokenizer, options=ExportOptions())
    outputs = {name: tensor.numpy() for name, tensor in module.from_texts(tf.constant(TEXTS)).items()}
    answers = Predictor(tagger.model, description, tagger.tokenizer).tag(TEXTS)
    assert [[tag.decode() for tag in row if tag] for row in outputs["tags"]] == [answer["tags"] for answer in answers]
    if "spans" not in answers[0]:
        assert tagger.task.scheme(labels).name == "none"
        assert not [name for name in outputs if "span" in name]
        return
    columns = [outputs[f"span_{name}"] for name in ("labels", "texts", "starts", "ends")]
    found = [
        [(label.decode(), text.decode(), start, end) for label, text, start, end in zip(*row, strict=True)][:count]
        for *row, count in zip(*columns, outputs["num_spans"], strict=True)
    ]
    expected = [[tuple(span.values()) for span in answer["spans"]] for answer in answers]
    assert found == expected
    assert max(map(len, expected)) > 3
