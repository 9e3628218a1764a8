"""Tokens become text with spaces where people write them."""

import pytest

from bert_tf.tokenization.detokenization import detokenized
from bert_tf.tokenization.wordpiece import SPECIAL_TOKENS, WordPieceTokenizer

TEXTS = [
    "The old miller, who saw a boat, didn't stop.",
    'He said "not yet" (twice) and left: why?',
    "A well-known price of $1,000.50 or 3.5% at 12:30!",
    "and/or file_name user@host",
    "北京在2008年举办了奥运会。他说：“好！”",
    "“Curly” quotes [and brackets]; it’s fine.",
]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_come_back(text):
    characters = sorted({character for character in text if not character.isspace()})
    tokenizer = WordPieceTokenizer.from_tokens(
        [*SPECIAL_TOKENS, *characters, *(f"##{character}" for character in characters)], do_lower_case=False
    )
    assert detokenized(tokenizer.tokenize(text)) == text


def test_nothing_and_single_tokens():
    assert detokenized([]) == ""
    assert detokenized(["##a", "##b"]) == "##ab"
    assert detokenized(["-", "a"]) == "- a"
