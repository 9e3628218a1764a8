"""Spans and their metrics, compared with seqeval's README and conlleval's published example."""

import pytest

from bert_tf.scoring.tagging import scheme_of, tag_spans, tagging_scores


def test_the_example_of_seqeval():
    """The example of seqeval's README: F1 0.50, MISC 0, PER 1; accuracy 0.80."""
    truth = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    predicted = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    scores = tagging_scores(truth, predicted, "iob")
    assert (scores["precision"], scores["recall"], scores["f1"]) == (0.5, 0.5, 0.5)
    assert scores["accuracy"] == pytest.approx(0.8)
    assert scores["macro_f1"] == pytest.approx(0.5)
    assert scores["types"]["MISC"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert scores["types"]["PER"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        (["B-PER", "I-PER", "O", "B-LOC"], [("PER", 0, 2), ("LOC", 3, 4)]),
        (["I-PER", "I-PER", "B-PER", "O"], [("PER", 0, 2), ("PER", 2, 3)]),  # IOB1
        (["S-LOC", "B-ORG", "I-ORG", "E-ORG", "S-LOC"], [("LOC", 0, 1), ("ORG", 1, 4), ("LOC", 4, 5)]),
        (["B-PER", "I-LOC", "I-LOC"], [("PER", 0, 1), ("LOC", 1, 3)]),  # allowed by no scheme
        (["O", "I-PER", "O"], [("PER", 1, 2)]),
        (["E-PER", "E-PER"], [("PER", 0, 1), ("PER", 1, 2)]),
        (["S-PER", "I-PER"], [("PER", 0, 1), ("PER", 1, 2)]),
        (["B-a-b", "I-a-b"], [("a-b", 0, 2)]),
        (["I-PER", "I-PER", "B-LOC", "I-LOC", "I-LOC"], [("PER", 0, 2), ("LOC", 2, 5)]),  # IOB1 and IOB2 mixed
        (["B-PER", "I-PER", "I-PER", "E-PER", "E-PER"], [("PER", 0, 4), ("PER", 4, 5)]),  # IOBES with one end too many
        (["B-PER", "B-PER", "E-PER"], [("PER", 0, 1), ("PER", 1, 3)]),
        (["I-PER", "E-PER", "I-PER"], [("PER", 0, 2), ("PER", 2, 3)]),
        (["S-PER", "E-PER", "O"], [("PER", 0, 1), ("PER", 1, 2)]),
        (["B-PER", "S-PER", "I-PER"], [("PER", 0, 1), ("PER", 1, 2), ("PER", 2, 3)]),
        (["B-PER", "E-LOC"], [("PER", 0, 1), ("LOC", 1, 2)]),
        ([], []),
    ],
)
def test_spans_of_a_sequence_of_tags(tags, spans):
    assert tag_spans(tags) == spans


def test_a_span_may_start_with_i_as_in_seqeval_by_default():
    """seqeval's README: F1 1.0 here by default, and 0.0 in its strict mode of IOB2, which is not used here."""
    assert tagging_scores([["B-NP", "I-NP", "O"]], [["I-NP", "I-NP", "O"]], "iob")["f1"] == 1.0


def test_iobes_is_scored_by_whole_spans():
    truth = [["B-ORG", "I-ORG", "E-ORG", "O", "S-LOC"], ["S-PER", "O", "S-LOC"]]
    predicted = [["B-ORG", "E-ORG", "S-ORG", "O", "S-LOC"], ["S-PER", "S-PER", "S-ORG"]]
    scores = tagging_scores(truth, predicted, "iobes")
    assert (scores["precision"], scores["recall"], scores["f1"]) == (2 / 6, 2 / 4, 0.4)  # right: a LOC and a PER
    assert scores["types"]["ORG"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert scores["types"]["LOC"] == {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2}
    assert scores["types"]["PER"] == {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 1}


def test_the_scheme_is_read_from_the_prefixes():
    assert scheme_of(["O", "B-x", "I-y"]) == "iob"
    assert scheme_of(["O", "B-x", "E-x", "S-x"]) == "iobes"
    assert scheme_of(["NN", "VB", "O"]) == "none"
    assert scheme_of(["IN", "B"]) == "none"
    assert tagging_scores([["NN", "VB"]], [["NN", "NN"]], "none") == {"accuracy": 0.5}


def test_f1_without_predicted_or_true_spans_is_0():
    assert tagging_scores([["O", "B-x"]], [["O", "O"]], "iob")["f1"] == 0.0
    assert tagging_scores([["O"]], [["O"]], "iob")["f1"] == 0.0
