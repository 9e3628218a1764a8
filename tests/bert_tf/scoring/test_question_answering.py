import pytest

from bert_tf.scoring.question_answering import (
    answer_f1,
    best_null_threshold,
    exact_match,
    normalized_answer,
    question_answering_scores,
)


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("The  U.S. army", "us army"),
        ("a cat, an owl and the dog", "cat owl and dog"),
        ("Athens", "athens"),
        ("theatre", "theatre"),
        ("$1,000", "1000"),
        ("the", ""),
        ("黑豹队，", "黑豹队，"),
    ],
)
def test_answers_are_normalized(text, normalized):
    assert normalized_answer(text) == normalized


def test_exact_match_and_f1_of_one_answer():
    assert exact_match("The Panthers", "panthers!") == 1.0
    assert answer_f1("gave up 308 points", "308 points") == pytest.approx(2 * 1.0 * 0.5 / 1.5)
    assert answer_f1("a b b", "b b b") == pytest.approx(2 * (2 / 3) * 1.0 / (2 / 3 + 1.0))
    assert (answer_f1("", ""), answer_f1("", "x"), answer_f1("x", "y")) == (1.0, 0.0, 0.0)


def test_the_best_of_several_answers_counts():
    scores = question_answering_scores([["Santa Clara", "Santa Clara, California"], ["308"]], ["santa clara", "307"])
    assert scores == {"exact_match": 0.5, "f1": 0.5}


def test_questions_without_an_answer_have_metrics_of_their_own():
    scores = question_answering_scores([["308"], [], ["x y"], []], ["308", "", "y", "z"])
    assert scores["exact_match"] == pytest.approx(2 / 4)
    assert scores["f1"] == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)
    assert scores["answerable_f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["unanswerable_exact_match"] == 0.5


def test_the_best_threshold_answers_the_right_questions():
    truths, best = [["a1"], [], ["b1"], []], ["a1", "x", "b1", "y"]
    # F1 is 1 if only the first and the third are answered, so the threshold is the third's difference.
    assert best_null_threshold(truths, best, [-5.0, 3.0, 1.0, 4.0]) == {"best_f1": 1.0, "best_null_threshold": 1.0}
    unanswerable = best_null_threshold([[], []], ["x", "y"], [1.0, 2.0])
    assert unanswerable["best_f1"] == 1.0
    assert unanswerable["best_null_threshold"] < 1.0
