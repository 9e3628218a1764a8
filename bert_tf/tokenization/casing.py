"""The casing of a vocabulary, told from its tokens: a wrong one changes the ids of most texts without an error."""

import re

from bert_tf.tokenization.basic import BasicTokenizer
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

_RESERVED = re.compile(r"\[[^\s\[\]]+\]")
# A vocabulary may hold a few tokens of the other casing, such as letters of mathematics.
_LEAST_SHARE = 0.01


def unreachable_tokens(tokenizer: WordPieceTokenizer) -> list[str]:
    """Return the tokens that an uncased tokenizer can never produce, because they hold capitals or accents.

    Tokens that a cased tokenizer cannot produce either, such as continuations that are ideographs, do not count. They
    say nothing about the casing.

    Args:
        tokenizer: the tokenizer of the vocabulary. The list is empty if it is cased.
    """
    if not tokenizer.do_lower_case:
        return []
    uncased, cased = tokenizer.basic_tokenizer, BasicTokenizer(do_lower_case=False)
    found = []
    for token in tokenizer.tokens:
        word = token.removeprefix("##")
        if word and not _RESERVED.fullmatch(token) and uncased.words(word) != [word] and cased.words(word) == [word]:
            found.append(token)
    return found


def casing_warning(tokenizer: WordPieceTokenizer) -> str | None:
    """Return a sentence, with arguments in backticks, if a tokenizer's casing contradicts its vocabulary; else None.

    Args:
        tokenizer: the tokenizer of the vocabulary.
    """
    tokens = [token for token in tokenizer.tokens if not _RESERVED.fullmatch(token)]
    if tokenizer.do_lower_case:
        never = unreachable_tokens(tokenizer)
        if not never or len(never) < _LEAST_SHARE * len(tokens):
            return None
        return (
            f"{len(never):,} of the vocabulary's {len(tokens):,} tokens, such as {', '.join(never[:3])}, can never "
            "occur, because `do_lower_case` puts all text in lower case without accents: the vocabulary is cased, so "
            "`do_lower_case` should be false"
        )
    lower, capital = (sum(any(map(is_so, token)) for token in tokens) for is_so in (str.islower, str.isupper))
    if capital >= _LEAST_SHARE * lower:
        return None
    return (
        f"{capital:,} of the vocabulary's {len(tokens):,} tokens hold a capital, so that most words with one become "
        "[UNK]: the vocabulary is uncased, so `do_lower_case` should be true"
    )
