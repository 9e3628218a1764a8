"""Vocabularies that contradict the tokenizer's settings are told."""

import gzip
from pathlib import Path

import pytest

from bert_tf.tokenization.options import AddedToken, TokenizerOptions
from bert_tf.tokenization.reachability import unreachable_tokens, vocabulary_warnings
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


def tokenizer_of(name: str, do_lower_case: bool) -> WordPieceTokenizer:
    """Return a tokenizer of a published vocabulary."""
    text = gzip.decompress((GOLDEN / f"vocab_{name}.txt.gz").read_bytes()).decode()
    return WordPieceTokenizer.from_tokens(text.removesuffix("\n").split("\n"), do_lower_case)


def small(*tokens: str, do_lower_case: bool = True, **options) -> WordPieceTokenizer:
    """Return a tokenizer of a few tokens."""
    return WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *tokens], do_lower_case, TokenizerOptions(**options))


def lost(tokenizer: WordPieceTokenizer) -> dict[str, list[str]]:
    """Return the unreachable tokens of the kinds that have any."""
    return {kind: tokens for kind, tokens in unreachable_tokens(tokenizer).items() if tokens}


@pytest.mark.parametrize(("name", "do_lower_case"), [("cased", False), ("uncased", True)])
def test_published_vocabularies_fit_their_own_settings(name, do_lower_case):
    tokenizer = tokenizer_of(name, do_lower_case)
    assert lost(tokenizer) == {"cut": ["..."]}
    assert vocabulary_warnings(tokenizer) == []


def test_a_cased_vocabulary_in_an_uncased_tokenizer_is_told():
    tokenizer = tokenizer_of("cased", do_lower_case=True)
    never = unreachable_tokens(tokenizer)
    assert {"A", "The", "##É"} <= set(never["case"])
    assert "é" in never["accents"]
    assert "the" not in never["case"]
    both = len(never["case"]) + len(never["accents"])
    assert both > 5000
    [message] = vocabulary_warnings(tokenizer)
    assert message.startswith(f"{both:,} of the vocabulary's 28,890 tokens, such as A, B, C, can never occur")
    assert "`do_lower_case` should be false" in message


def test_an_uncased_vocabulary_in_a_cased_tokenizer_is_told():
    [message] = vocabulary_warnings(tokenizer_of("uncased", do_lower_case=False))
    assert "`do_lower_case` should be true" in message


@pytest.mark.parametrize("do_lower_case", [True, False])
@pytest.mark.parametrize(
    "tokens", [["中", "##中", "文", "1", "##1", "."], ["क", "##ि", "ก"], ["[ENTITY]", "[unused1]", "<unused2>"]]
)
def test_scripts_without_capitals_say_nothing_about_the_casing(tokens, do_lower_case):
    assert vocabulary_warnings(small(*tokens, do_lower_case=do_lower_case)) == []


@pytest.mark.parametrize(("do_lower_case", "strip_accents"), [(True, None), (True, True), (False, True)])
def test_accents_without_capitals_show_that_they_must_be_kept(do_lower_case, strip_accents):
    tokens = ["a", "é", "##é", "möchte", *(["Der"] if not do_lower_case else [])]
    tokenizer = small(*tokens, do_lower_case=do_lower_case, strip_accents=strip_accents)
    assert lost(tokenizer) == {"accents": ["é", "##é", "möchte"]}
    [message] = vocabulary_warnings(tokenizer)
    assert "3 of the vocabulary's" in message
    assert "`strip_accents` should be false" in message
    assert vocabulary_warnings(small(*tokens, do_lower_case=do_lower_case, strip_accents=False)) == []


def test_words_of_several_ideographs_show_that_they_must_not_be_split():
    tokenizer = small("中", "##文", "日本", "##東京", "a中")
    assert lost(tokenizer) == {"ideographs": ["日本", "##東京", "a中"]}
    [message] = vocabulary_warnings(tokenizer)
    assert "such as 日本, ##東京, a中, can never occur" in message
    assert "`tokenize_chinese_chars` should be false" in message
    assert vocabulary_warnings(small("中", "日本", "##東京", tokenize_chinese_chars=False)) == []


def test_tokens_that_are_cut_show_another_kind_of_tokenizer():
    tokenizer = small("new york", "don't", "a\u0085b", "\u200d", "##.", "!", "one")
    assert lost(tokenizer) == {"cut": ["new york", "don't", "a\u0085b", "\u200d"]}
    [message] = vocabulary_warnings(tokenizer)
    assert "such as new york, don't, 'a\\x85b', can never occur" in message
    assert "another kind of tokenizer" in message


def test_a_few_tokens_of_a_kind_are_not_telling():
    words = [f"w{number}" for number in range(300)]
    assert vocabulary_warnings(small(*words, "A", "é", "日本", "e-mail", "a.m.")) == []


def test_each_contradiction_is_told():
    warnings = vocabulary_warnings(small("A", "日本", "e-mail"))
    assert [warning.split(", such as ")[1].split(",")[0] for warning in warnings] == ["A", "日本", "e-mail"]


def test_added_tokens_are_found_whatever_they_hold():
    added = (AddedToken("New York"), AddedToken("日本"))
    assert vocabulary_warnings(small("New York", "日本", "a", added_tokens=added)) == []
