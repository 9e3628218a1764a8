"""Metrics of generated texts on the examples that the packages publish, and on ones that are counted by hand."""

import importlib.util
import logging

import pytest

from bert_tf.configs.generation_metrics import GENERATION_METRICS, METRIC_TOKENIZERS
from bert_tf.scoring.seq2seq import generation_scores

pytest.importorskip("rouge_score", reason="pip install -r tests/packages.txt")
pytest.importorskip("sacrebleu", reason="pip install -r tests/packages.txt")

# The README of sacrebleu 2: BLEU = 48.53, chrF2 = 59.73.
GENERATED = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
REFERENCES = [
    ("The dog bit the man.", "The dog had bit the man."),
    ("It was not unexpected.", "No one was surprised."),
    ("The man bit him first.", "The man had bitten the dog."),
]


def test_bleu_and_chrf_are_those_that_sacrebleu_publishes():
    scores = generation_scores(REFERENCES, GENERATED, ("bleu", "chrf"))
    assert scores == {"bleu": pytest.approx(48.53, abs=0.005), "chrf": pytest.approx(59.73, abs=0.005)}


def test_rouge_is_that_which_rouge_score_publishes():
    # Its README: 6 of 8 words, 6 of 9 in the reference; 5 in order. Stems change nothing.
    pair = ([["The quick brown fox jumps over the lazy dog"]], ["The quick brown dog jumps on the log."])
    scores = generation_scores(*pair, ("rouge1", "rouge2", "rougeL"))
    assert scores["rouge1"] == pytest.approx(2 * 6 / (8 + 9))
    assert scores["rouge2"] == pytest.approx(2 * 2 / (7 + 8))  # the quick, quick brown
    assert scores["rougeL"] == pytest.approx(2 * 5 / (8 + 9))


def test_words_are_stemmed_and_the_best_reference_counts():
    references = [["a train of thought", "the boats sailed"], ["nothing"]]
    scores = generation_scores(references, ["the boat sails", "river"], ("rouge1", "rougeL"))
    assert scores == {"rouge1": 0.5, "rougeL": 0.5}


def test_exact_matches_are_counted_up_to_white_space_and_case():
    references = [["A boat"], ["the river", "that river"], ["x"]]
    generated = ["a  boat", "that river", "X y"]
    assert generation_scores(references, generated, ("exact_match",)) == {"exact_match": pytest.approx(1 / 3)}
    lower = generation_scores(references, generated, ("exact_match", "chrf"), lower_case=True)
    assert lower["exact_match"] == pytest.approx(2 / 3)
    assert lower["chrf"] > generation_scores(references, generated, ("chrf",))["chrf"]


def test_distinct_ngrams_are_counted_over_all_texts():
    generated = ["the boat the boat", "the river."]
    scores = generation_scores([["x"], ["y"]], generated, ("distinct_1", "distinct_2"))
    # Seven words: the, boat, river and the full stop are different; so are the boat, boat the, the river and river.
    assert scores == {"distinct_1": pytest.approx(4 / 7), "distinct_2": pytest.approx(4 / 7)}
    assert generation_scores([["x"]], [""], GENERATION_METRICS) == dict.fromkeys(GENERATION_METRICS, 0.0)


def test_the_words_of_chinese_are_its_characters(caplog):
    references, generated = [["我爱北京天安门。"]], ["我爱天安门！"]
    scores = generation_scores(references, generated, ("rouge1", "rougeL", "bleu"), tokenizer="zh")
    assert scores["rouge1"] == scores["rougeL"] == pytest.approx(2 * 5 / (5 + 7))  # without punctuation
    assert "ideographs" not in caplog.text
    assert scores["bleu"] > 0
    with caplog.at_level(logging.WARNING):
        assert generation_scores(references, generated, ("rouge1",)) == {"rouge1": 0.0}
    assert "task.metric_tokenizer=zh does" in caplog.text


@pytest.mark.parametrize("tokenizer", METRIC_TOKENIZERS)
def test_every_tokenizer_finds_words(tokenizer):
    scores = generation_scores(REFERENCES, GENERATED, ("rouge1", "bleu"), tokenizer=tokenizer)
    assert min(scores.values()) > 0


@pytest.mark.parametrize(
    ("references", "generated", "message"),
    [
        ([["a"]], ["a", "b"], "1 and 2 items, 0 without a reference"),
        ([["a"], []], ["a", "b"], "2 and 2 items, 1 without a reference"),
        ([], [], "of which there must be one"),
    ],
)
def test_texts_without_references_are_refused(references, generated, message):
    with pytest.raises(ValueError, match=message):
        generation_scores(references, generated, ("exact_match",))


def test_unknown_metrics_and_missing_packages_are_named(monkeypatch):
    with pytest.raises(ValueError, match=r"`metrics` must be among rouge1, .*Received: 'meteor'"):
        generation_scores([["a"]], ["a"], ("meteor",))
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sacrebleu" else found(name))
    with pytest.raises(ValueError, match=r"bleu needs sacrebleu \(pip install 'bert_tf\[generation\]'\)"):
        generation_scores([["a"]], ["a"], ("exact_match", "bleu"))
    assert generation_scores([["a"]], ["a"], ("exact_match",)) == {"exact_match": 1.0}
