import pytest

from bert_tf.scoring.behaviour import (
    PERTURBATIONS,
    calibration,
    groups,
    length_slice,
    typos,
    with_full_stop,
    without_punctuation,
)


def test_calibration_by_hand():
    # Two bins: (0.6, 0.7] with one of two right, and (0.9, 1.0] with all three right.
    found = calibration([0.65, 0.7, 0.95, 1.0, 0.99], [True, False, True, True, True])
    low, high = found["bins"]
    assert (low["low"], low["high"], low["count"], low["accuracy"]) == (0.6, 0.7, 2, 0.5)
    assert low["confidence"] == pytest.approx(0.675)
    assert (high["count"], high["accuracy"]) == (3, 1.0)
    assert found["ece"] == pytest.approx((2 * 0.175 + 3 * 0.02) / 5)
    assert calibration([1.0, 1.0], [True, True])["ece"] == 0.0
    assert calibration([0.0], [True])["bins"][0]["high"] == 0.1
    assert calibration([], []) == {"ece": 0.0, "bins": []}


def test_slices_of_lengths_end_at_powers_of_two():
    names = [length_slice(number) for number in (0, 8, 9, 16, 17, 512, 513)]
    assert names[:2] == ["1 to 8 tokens"] * 2
    assert names[2:5] == ["9 to 16 tokens", "9 to 16 tokens", "17 to 32 tokens"]
    assert names[5:] == ["257 to 512 tokens", "513 to 1024 tokens"]
    assert groups(["b", "a", "b"]) == {"b": [0, 2], "a": [1]}


def test_perturbations_change_what_they_say():
    text = "The quick fox, near the river."
    changed = typos(text)
    assert changed != text
    assert sorted(changed) == sorted(text)
    assert sum(one != other for one, other in zip(changed, text, strict=True)) == 2
    assert typos(text) == changed  # the same in every run
    assert typos("a be see") == "a be see"  # no word is long enough
    assert typos("aaaa") == "aaaa"
    assert without_punctuation(text) == "The quick fox near the river"
    assert with_full_stop(text) == "The quick fox, near the river"
    assert with_full_stop("The fox") == "The fox ."
    assert {name: change("It is.") for name, change in PERTURBATIONS.items()} == {
        "typo": "It is.",
        "lower case": "it is.",
        "upper case": "IT IS.",
        "no punctuation": "It is",
        "full stop": "It is",
    }
