"""Sentences of paragraphs in many scripts and of any length."""

from random import Random

import pytest
import sentencex

from data_pipelines.corpora import sentences
from data_pipelines.corpora.sentences import split_sentences


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("zh", ["他来了.", "我走了?", "好!", "是吗"]),
        ("zh", ["我用Windows.", "很好.", "真的??", "嗯!!", "是..."]),
        ("zh", ['他说:"好."', "然后走了.", "例子.com好.", "U.S.政府.", "Node.js的3.5版."]),
        ("zh", ["你用Mac?", "是.", "走!"]),
        ("ja", ["これは何?", "本です!", "はい.", "そう"]),
        ("ja", ["「何?」", "と言った.", "Yahoo!知恵袋です."]),
        ("en", ["他来了.", "我走了!"]),
        ("km", ["ខ្ញុំទៅ។", "អ្នកមក។", "ចេក ។ល។", "ផ្លែឈើ៕", "ល្អ។”", "ទៅ"]),
        ("en", ["See tf.Tensor and Yahoo!Inc, e.g. here.", "Then more."]),
    ],
)
@pytest.mark.parametrize("between", ["", " "])
def test_sentences_of_scripts_without_spaces(language, expected, between):
    if language == "en" and not between and expected[0].isascii():
        pytest.skip("English needs the space")
    assert split_sentences(between.join(expected), language) == expected


def test_white_space_of_several_bytes_stays_and_fails_nowhere():
    assert split_sentences("J.\u3000Smith came. A.\u3000B. left.")[-1].endswith("left.")
    assert split_sentences("他来了。\u3000我走了。") == ["他来了。", "我走了。"]
    assert split_sentences("One.\u200b Two.") == ["One.\u200b", "Two."]
    assert split_sentences("One.\u200bTwo.\u200b") == ["One.\u200b", "Two.\u200b"]


@pytest.mark.parametrize("unit", ["中。", "中.", "（中。", "“A. ", "क।", "a.b", "中文", "word ", "។ក", "Ab."])
def test_sentencex_never_sees_more_than_a_window(unit, monkeypatch):
    # Its time is quadratic in the length of text without spaces, so that the total of squares must stay linear.
    seen = []
    segment = sentencex.segment
    monkeypatch.setattr(sentencex, "segment", lambda language, text: seen.append(len(text)) or segment(language, text))
    totals = []
    for size in (100_000, 200_000):
        seen.clear()
        text = (unit * size)[:size].strip()
        assert "".join(split_sentences(text)).replace(" ", "") == text.replace(" ", "")
        totals.append(sum(seen))
        assert max(seen) <= sentences._LONGEST_SENTENCE
    assert totals[1] < 2.5 * totals[0]
    assert totals[1] < 3 * 200_000


def test_windows_change_no_sentence(monkeypatch):
    generator = Random(0)
    parts = [
        "Dr. ",
        "Hello there",
        "e.g. ",
        "“quoted. text” ",
        "(see p. 3) ",
        "中文。",
        "end. ",
        "And ",
        "U.S. ",
        "it? ",
    ]
    text = "".join(generator.choice(parts) for _ in range(4000))
    expected = split_sentences(text)
    assert len(expected) > 200
    monkeypatch.setattr(sentences, "_WINDOW_CHARACTERS", 1 << 20)
    assert split_sentences(text) == expected
