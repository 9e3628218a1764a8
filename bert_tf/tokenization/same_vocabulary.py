"""The check that two models read the same tokens."""

import dataclasses
from typing import Any

from bert_tf.tokenization.options import MAX_WORD_CHARACTERS
from bert_tf.tokenization.vocab_files import first_difference
from bert_tf.tokenization.wordpiece import WordPieceTokenizer


def check_same_vocabulary(
    argument: str, path: str, found: WordPieceTokenizer, *, expected: WordPieceTokenizer, owner: str
) -> None:
    """Check that a model has the vocabulary and the casing of others.

    Args:
        argument: the name of the argument or field that names the model.
        path: its value.
        found: the model's tokenizer.
        expected: the other tokenizer.
        owner: whose that is, for the message.

    Raises:
        ValueError: they differ; the message says where.
    """
    if _rules(found) != _rules(expected):
        raise ValueError(
            f"`{argument}` must have the vocabulary and casing of {owner}, whose hash is "
            f"{_vocabulary(expected)}. Received: {path!r}, with {_vocabulary(found)}; "
            f"{first_difference(expected.tokens, found.tokens) or 'the tokens are the same'}"
        )


def _rules(tokenizer: WordPieceTokenizer) -> tuple[Any, ...]:
    """Return what two tokenizers must share. Published limits of a word's length differ, and hardly a text shows it."""
    options = dataclasses.replace(tokenizer.options, max_input_chars_per_word=MAX_WORD_CHARACTERS)
    return tokenizer.tokens, tokenizer.do_lower_case, options


def _vocabulary(tokenizer: WordPieceTokenizer) -> str:
    casing = "uncased" if tokenizer.do_lower_case else "cased"
    options = str(tokenizer.options)
    return f"{tokenizer.vocab_hash[:12]} ({casing}{f', {options}' if options else ''})"
