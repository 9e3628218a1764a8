"""Exports that generate texts give those of the Python predictor, tokenization and detokenization included."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, TASK_CONFIGS, shake, write_run

import bert_tf
from bert_tf.serving.export import export_saved_model
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.predictor import Predictor, load
from bert_tf.serving.trained import of_model
from bert_tf.serving.warmup import example_proto
from bert_tf.tokenization.detokenization import detokenized
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

pytest.importorskip("tensorflow_text")

from bert_tf.preprocessing.graph_detokenizer import GraphDetokenizer

TEXTS = ["the old miller", "boat", "A sailor, near the river. " * 4, "北京 the River"]
TOKENS = [
    *SPECIAL_TOKENS,
    *("[unused1]", "北", "京", "River", "river", "un", "##seen", "##s", "2", "##0", "##a", "30", "don", "t", "##"),
    *(".", ",", ":", "!", "(", ")", '"', "'", "-", "/", "$", "。", "「", "」", "’", "…", "#", "##.", "é"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run", "seq2seq", num_layers=2)


@pytest.fixture(scope="module")
def beams(run, tmp_path_factory):
    options = ExportOptions(beams=3, num_return=2, max_length=7, no_repeat_ngram=2, length_penalty=1.0)
    return export_saved_model(str(run), str(tmp_path_factory.mktemp("beams")), options)


@functools.cache
def _loaded(path):
    return tf.saved_model.load(path)  # must outlive its signatures


def _ask(path, texts, signature="serving_default", **others):
    module = _loaded(path)
    name = "text" if signature == "serving_default" else "inputs"
    outputs = module.signatures[signature](**{name: tf.constant(texts, tf.string)}, **others)
    return {name: output.numpy() for name, output in outputs.items()}


def _check(outputs, answers):
    """Check the outputs against the predictor's answers, which have alternatives."""
    found = [[text.decode() for text in row] for row in outputs["texts"]]
    assert found == [[one["generated"] for one in answer["alternatives"]] for answer in answers]
    for name, key in (("scores", "score"), ("log_probabilities", "log_probability")):
        expected = [[one[key] for one in answer["alternatives"]] for answer in answers]
        np.testing.assert_allclose(outputs[name], expected, atol=1e-5)
    assert outputs["num_tokens"].dtype == np.int32


def test_beams_are_those_of_the_predictor(run, beams):
    predictor, options = load(str(run)), {"beams": 3, "num_return": 2, "max_length": 7}
    answers = predictor.generate(TEXTS, **options, no_repeat_ngram=2, length_penalty=1.0)
    outputs = _ask(beams, TEXTS)
    _check(outputs, answers)
    _check(_ask(beams, TEXTS[1:2]), answers[1:2])
    by_example = _ask(beams, [example_proto({"text": text}) for text in TEXTS], "examples")
    assert by_example["texts"].tolist() == outputs["texts"].tolist()
    empty = _ask(beams, ["", "boat", " "])  # a source without tokens has no text, and stops no others
    assert empty["texts"][0].tolist() == empty["texts"][2].tolist() == [b"", b""]
    assert empty["num_tokens"][0].tolist() == empty["scores"][0].tolist() == [0, 0]
    assert empty["texts"][1].tolist() == outputs["texts"][1].tolist()
    assert _ask(beams, [])["texts"].shape == (0, 2)


def test_an_export_generates_by_its_own_options(run, beams):
    exported, predictor = load(beams), load(str(run))
    options = {"beams": 3, "num_return": 2, "max_length": 7, "no_repeat_ngram": 2, "length_penalty": 1.0}
    assert exported.description.decoding.beams == 3
    answers = exported.generate(TEXTS)
    expected = predictor.generate(TEXTS, **options)
    assert [answer["generated"] for answer in answers] == [answer["generated"] for answer in expected]
    assert exported.generate(TEXTS, beams=3, max_length=7) == answers
    with pytest.raises(ValueError, match=r"`beams` must be that of the export, 3, or left out\. Received: 4"):
        exported.generate(TEXTS, beams=4)
    with pytest.raises(ValueError, match=r"`seed` must be that of the export, None, or left out\. Received: 1"):
        exported.generate(TEXTS, seed=1)
    with pytest.raises(ValueError, match=r"`stream` needs a run or published weights\. Received: the export "):
        exported.stream(TEXTS[0])


def test_the_description_the_card_and_the_warmup_know_the_options(beams):
    assert json.loads(Path(beams, "assets", "config.json").read_text())["decoding"]["no_repeat_ngram"] == 2
    card = Path(beams, "MODEL_CARD.md").read_text()
    assert "| generation | max_length 7, beams 3, num_return 2, length_penalty 1.0, no_repeat_ngram 2," in card
    requests = Path(beams, "assets.extra", "tf_serving_warmup_requests").read_bytes()
    assert requests.count(b"serving_default") > 1


@pytest.mark.parametrize("changes", [{"top_k": 7}, pytest.param({"num_return": 3}, marks=pytest.mark.long)])
def test_samples_are_those_of_the_predictor(run, tmp_path, changes):
    options = {"temperature": 1.5, "top_p": 0.9, "max_length": 6, "num_return": 2} | changes
    path = export_saved_model(str(run), str(tmp_path), ExportOptions(**options))
    predictor, exported = load(str(run)), load(path)
    for seed in (0, 12):
        answers = predictor.generate(TEXTS, **options, seed=seed)
        _check(_ask(path, TEXTS, seed=tf.fill([len(TEXTS)], seed)), answers)
        found = exported.generate(TEXTS, seed=seed)
        assert [answer["generated"] for answer in found] == [answer["generated"] for answer in answers]
    seeds = [0, 0, 12, 12]
    mixed = _ask(path, TEXTS, seed=tf.constant(seeds))["texts"]
    alone = [_ask(path, [text], seed=tf.constant([seed]))["texts"][0] for text, seed in zip(TEXTS, seeds, strict=True)]
    assert mixed.tolist() == [texts.tolist() for texts in alone]


@pytest.mark.long  # XLA compiles the loop
@pytest.mark.parametrize("options", [ExportOptions(jit_compile=True), ExportOptions(fixed_batch_size=3)])
def test_compiled_exports_generate_the_same(run, tmp_path, options):
    path = export_saved_model(str(run), str(tmp_path), options)
    answers = load(str(run)).generate(TEXTS)
    for texts, some in ((TEXTS, answers), (TEXTS[2:], answers[2:])):
        outputs = _ask(path, texts)
        assert [text.decode() for text in outputs["texts"]] == [answer["generated"] for answer in some]
        np.testing.assert_allclose(outputs["scores"], [answer["score"] for answer in some], atol=1e-5)


@pytest.mark.long  # an export of its own
def test_a_long_source_of_parts_may_lose_its_beginning(run, tmp_path):
    model = bert_tf.BertSeq2Seq.from_pretrained(str(run), max_length=24, max_target_length=10, truncation_side="left")
    path = export_saved_model(model, str(tmp_path), ExportOptions(beams=1, max_length=4))
    texts = ["boat [SEP] the [SEP]", "[SEP] " + "a sailor [SEP] near the river. " * 4, "[SEP]", *TEXTS]
    outputs = _ask(path, texts)
    answers = Predictor(*of_model(model)).generate(texts, beams=1, max_length=4)
    assert [text.decode() for text in outputs["texts"]] == [answer["generated"] for answer in answers]
    np.testing.assert_allclose(outputs["scores"], [answer["score"] for answer in answers], atol=1e-5)


@pytest.mark.long
def test_cased_and_chinese_texts(tmp_path):
    tokenizer = WordPieceTokenizer.from_tokens(TOKENS, do_lower_case=False)
    model = bert_tf.BertSeq2Seq(SMALL.replace(vocab_size=len(tokenizer)))
    shake(model)
    task = TASK_CONFIGS["seq2seq"]
    model.set_tokenizer(tokenizer, max_length=task.max_seq_length, max_target_length=task.max_target_length)
    path = export_saved_model(model, str(tmp_path), ExportOptions(temperature=3.0, num_return=5))
    answers = Predictor(*of_model(model)).generate(["北京 River", "don't"], temperature=3.0, num_return=5, seed=1)
    outputs = _ask(path, ["北京 River", "don't"], seed=tf.constant([1, 1]))
    _check(outputs, answers)
    texts = "".join(text.decode() for row in outputs["texts"] for text in row)
    assert "River" in texts
    assert "北" in texts


def test_texts_of_tokens_are_those_of_python():
    random, detokenizer = np.random.default_rng(0), GraphDetokenizer(TOKENS)
    ids = random.integers(len(SPECIAL_TOKENS), len(TOKENS), (400, 12)).astype(np.int32)
    lengths = random.integers(0, 13, 400).astype(np.int32)
    found = [text.decode() for text in detokenizer(tf.constant(ids), tf.constant(lengths)).numpy()]
    rows = zip(ids, lengths, strict=True)
    assert found == [detokenized(TOKENS[index] for index in row[:length]) for row, length in rows]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ExportOptions(beams=0), r"`beams` must be at least 1\. Received: 0"),
        (ExportOptions(num_return=5), r"`num_return` must be from 1 to the 4 `beams`\. Received: 5"),
        (ExportOptions(max_length=19), r"`max_length` must be at most 18"),
        (ExportOptions(litert=("int8",)), r"`litert` takes .*\. Received: a model for seq2seq"),
    ],
)
def test_options_that_do_not_fit_are_named(run, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export_saved_model(str(run), str(tmp_path / "export"), options)
    assert not list(tmp_path.glob("export/*"))


def test_other_tasks_do_not_generate(tmp_path):
    classifier = str(write_run(tmp_path / "classifier", "classification"))
    with pytest.raises(ValueError, match=r"`beams` needs a model for seq2seq\. Received: 2 for one of classification"):
        export_saved_model(classifier, options=ExportOptions(beams=2))
