"""The metrics of spans, compared with seqeval's README and with hand-made numbers in each scheme."""

import pytest

from bert_tf.scoring.tag_schemes import scheme_of
from bert_tf.scoring.tagging import tagging_scores


def _scores(truth, predicted, name="auto"):
    tags = {tag for sentences in (truth, predicted) for sentence in sentences for tag in sentence}
    return tagging_scores(truth, predicted, scheme_of(tags, name))


def test_the_example_of_seqeval():
    """The example of seqeval's README: F1 0.50, MISC 0, PER 1; accuracy 0.80."""
    truth = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    predicted = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    scores = _scores(truth, predicted, "iob")
    assert (scores["precision"], scores["recall"], scores["f1"]) == (0.5, 0.5, 0.5)
    assert scores["accuracy"] == pytest.approx(0.8)
    assert scores["macro_f1"] == pytest.approx(0.5)
    assert scores["types"]["MISC"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert scores["types"]["PER"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}


def test_a_span_may_start_with_i_as_in_seqeval_by_default():
    """seqeval's README: F1 1.0 here by default, and 0.0 in its strict mode of IOB2."""
    scores = _scores([["B-NP", "I-NP", "O"]], [["I-NP", "I-NP", "O"]], "iob")
    assert (scores["f1"], scores["strict_f1"]) == (1.0, 0.0)


def test_iobes_is_scored_by_whole_spans():
    truth = [["B-ORG", "I-ORG", "E-ORG", "O", "S-LOC"], ["S-PER", "O", "S-LOC"]]
    predicted = [["B-ORG", "E-ORG", "S-ORG", "O", "S-LOC"], ["S-PER", "S-PER", "S-ORG"]]
    scores = _scores(truth, predicted, "iobes")
    assert (scores["precision"], scores["recall"], scores["f1"]) == (2 / 6, 2 / 4, 0.4)  # right: a LOC and a PER
    assert scores["types"]["ORG"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert scores["types"]["LOC"] == {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2}
    assert scores["types"]["PER"] == {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 1}


def test_parts_of_speech_are_scored_one_by_one():
    assert _scores([["NN", "VB"]], [["NN", "NN"]]) == {"accuracy": 0.5}


def test_f1_without_predicted_or_true_spans_is_0():
    scheme = scheme_of(["B-x", "O"])
    for truth, predicted in (("B-x", "O"), ("O", "B-x"), ("O", "O")):
        scores = tagging_scores([["O", truth]], [["O", predicted]], scheme)
        assert (scores["f1"], scores["strict_f1"]) == (0.0, 0.0)


# Sentences in each scheme: the true tags of one, the predicted ones, and those of a second, which has no span. The true
# spans are two adjacent ones of X, another X of three words, and a Y. Predicted are the first two as one, the others,
# and a second Y.
SCHEMES = {
    "iob1": ("I-X B-X O I-X I-X I-X I-Y", "I-X I-X O I-X I-X I-X I-Y", "I-Y O"),
    "iob2": ("B-X B-X O B-X I-X I-X B-Y", "B-X I-X O B-X I-X I-X B-Y", "B-Y O"),
    "ioe1": ("E-X I-X O I-X I-X I-X I-Y", "I-X I-X O I-X I-X I-X I-Y", "I-Y O"),
    "ioe2": ("E-X E-X O I-X I-X E-X E-Y", "I-X E-X O I-X I-X E-X E-Y", "E-Y O"),
    "iobes": ("S-X S-X O B-X I-X E-X S-Y", "B-X E-X O B-X I-X E-X S-Y", "S-Y O"),
    "bilou": ("U-X U-X O B-X I-X L-X U-Y", "B-X L-X O B-X I-X L-X U-Y", "U-Y O"),
    "bmes": ("S-X S-X O B-X M-X E-X S-Y", "B-X E-X O B-X M-X E-X S-Y", "S-Y O"),
    "bmewo": ("W-X W-X O B-X M-X E-X W-Y", "B-X E-X O B-X M-X E-X W-Y", "W-Y O"),
}


def _reversed(tags):
    return " ".join("-".join(tag.split("-")[::-1]) for tag in tags.split())


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("write", [str, lambda tags: tags.replace("-", "_"), _reversed])
def test_every_scheme_and_notation_has_the_same_scores(write, name, named):
    true, predicted, predicted_alone = (write(tags).split() for tags in SCHEMES[name])
    scores = _scores([true, ["O", "O"]], [predicted, predicted_alone], name if named else "auto")
    assert (scores["precision"], scores["recall"], scores["f1"]) == (0.5, 0.5, 0.5)
    assert (scores["strict_precision"], scores["strict_recall"], scores["strict_f1"]) == (0.5, 0.5, 0.5)
    assert scores["types"]["X"] == {"precision": 0.5, "recall": 1 / 3, "f1": 0.4, "support": 3}
    assert scores["types"]["Y"] == {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 1}


def test_two_unit_tags_in_a_row_are_two_spans():
    """They were read as one in BILOU, so that the prediction of one span was wholly right."""
    for unit, first, last in (("U", "B", "L"), ("S", "B", "E"), ("W", "B", "E")):
        assert _scores([[f"{unit}-X", f"{unit}-X"]], [[f"{first}-X", f"{last}-X"]])["f1"] == 0.0


def test_io_has_one_span_where_others_have_two():
    scores = _scores([["I-X", "I-X", "O", "I-Y"]], [["I-X", "I-X", "O", "O"]])
    assert (scores["precision"], scores["recall"]) == (1.0, 0.5)
    assert (scores["strict_precision"], scores["strict_recall"]) == (1.0, 0.5)


def test_strict_scores_follow_the_truth_between_iob1_and_iob2():
    predicted = [["I-X", "I-X", "O", "I-X"]]
    iob1 = _scores([["I-X", "B-X", "O", "I-X"]], predicted)
    iob2 = _scores([["B-X", "B-X", "O", "B-X"]], predicted)
    assert iob1["f1"] == iob2["f1"] == 0.4
    assert (iob1["strict_f1"], iob2["strict_f1"]) == (0.4, 0.0)
