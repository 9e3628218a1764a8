"""Vocabularies whose casing contradicts the tokenizer's are told."""

import gzip
from pathlib import Path

import pytest

from bert_tf.tokenization.casing import casing_warning, unreachable_tokens
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


def tokenizer_of(name: str, do_lower_case: bool) -> WordPieceTokenizer:
    """Return a tokenizer of a published vocabulary."""
    text = gzip.decompress((GOLDEN / f"vocab_{name}.txt.gz").read_bytes()).decode()
    return WordPieceTokenizer.from_tokens(text.removesuffix("\n").split("\n"), do_lower_case)


@pytest.mark.parametrize(("name", "do_lower_case"), [("cased", False), ("uncased", True)])
def test_published_vocabularies_fit_their_own_casing(name, do_lower_case):
    tokenizer = tokenizer_of(name, do_lower_case)
    assert unreachable_tokens(tokenizer) == []
    assert casing_warning(tokenizer) is None


def test_a_cased_vocabulary_in_an_uncased_tokenizer_is_told():
    tokenizer = tokenizer_of("cased", do_lower_case=True)
    never = unreachable_tokens(tokenizer)
    assert {"A", "The", "é", "##É"} <= set(never)
    assert "the" not in never
    assert len(never) > 5000
    message = casing_warning(tokenizer)
    assert message is not None
    assert f"{len(never):,} of the vocabulary's" in message
    assert "`do_lower_case` should be false" in message


def test_an_uncased_vocabulary_in_a_cased_tokenizer_is_told():
    assert "`do_lower_case` should be true" in (casing_warning(tokenizer_of("uncased", do_lower_case=False)) or "")


@pytest.mark.parametrize("do_lower_case", [True, False])
@pytest.mark.parametrize(
    "tokens", [["中", "##中", "文", "1", "##1", "."], ["क", "##ि", "ก"], ["[ENTITY]", "[unused1]"]]
)
def test_scripts_without_capitals_say_nothing_about_the_casing(tokens, do_lower_case):
    tokenizer = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, *tokens], do_lower_case)
    assert casing_warning(tokenizer) is None


def test_accents_alone_show_a_cased_vocabulary():
    tokenizer = WordPieceTokenizer.from_tokens([*SPECIAL_TOKENS, "a", "é", "##é", "möchte"])
    assert unreachable_tokens(tokenizer) == ["é", "##é", "möchte"]
    assert casing_warning(tokenizer) is not None
