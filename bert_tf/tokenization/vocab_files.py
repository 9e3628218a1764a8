"""Vocabulary files, read in one way everywhere, and the hash by which vocabularies are told apart."""

import hashlib
from collections.abc import Sequence

from absl import logging

from bert_tf.tokenization.options import TokenizerOptions
from bert_tf.utils import files


def read_vocab_file(vocab_file: str) -> list[str]:
    """Return the tokens of a vocabulary file by their ids, with a warning about lines that should not be there.

    A token's id is its line number, counted from 0. White space around a token is dropped. As in the reference, the
    last one of equal lines is the token's, and a blank line takes up an id. Blank lines at the end are dropped.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not UTF-8.
    """
    tokens = [line.strip() for line in files.iterate_lines(vocab_file)]
    length = len(tokens)
    while tokens and not tokens[-1]:
        tokens.pop()
    if len(tokens) < length:
        logging.warning("%s ends in %d blank lines, which are dropped", vocab_file, length - len(tokens))
    last = {token: index for index, token in enumerate(tokens)}
    repeated = [index for index, token in enumerate(tokens) if token and last[token] != index]
    if repeated:
        logging.warning(
            "%s holds %d lines whose token comes again, such as %r in line %d. The last line's number is the id",
            vocab_file,
            len(repeated),
            tokens[repeated[0]],
            repeated[0] + 1,
        )
    return tokens


def vocab_hash(tokens: Sequence[str], options: TokenizerOptions) -> str:
    """Return the SHA-256, in hexadecimal digits, of the tokens and of the options that are not the defaults."""
    digest = hashlib.sha256("\n".join(tokens).encode("utf-8"))
    if options.changes():
        digest.update(b"\n\n" + options.digest_text().encode("ascii"))  # no vocabulary ends in a blank line
    return digest.hexdigest()


def first_difference(tokens: Sequence[str], others: Sequence[str]) -> str:
    """Return where two vocabularies begin to differ, for messages; "" if they have the same tokens.

    >>> first_difference(["[PAD]", "river"], ["[PAD]", "road"])
    "line 2 is 'road' and not 'river'"
    >>> first_difference(["[PAD]"], ["[PAD]", "road"])
    "line 2 is 'road', and the expected vocabulary ends before it"

    Args:
        tokens: the expected tokens.
        others: the tokens that were found.
    """
    for line, (token, other) in enumerate(zip(tokens, others, strict=False), 1):
        if token != other:
            return f"line {line} is {other!r} and not {token!r}"
    line = min(len(tokens), len(others)) + 1
    if len(others) > len(tokens):
        return f"line {line} is {others[line - 1]!r}, and the expected vocabulary ends before it"
    if len(tokens) > len(others):
        return f"it ends before line {line}, which should be {tokens[line - 1]!r}"
    return ""
