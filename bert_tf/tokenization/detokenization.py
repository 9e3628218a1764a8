"""Tokens back to text as people write it: spaces, punctuation, numbers, and Chinese without spaces."""

from collections.abc import Iterable

from bert_tf.utils.ideographs import is_ideograph

_NO_SPACE_BEFORE = frozenset(".,;:!?)]}%…。，、；：！？）】》」』”’")
_NO_SPACE_AFTER = frozenset("([{#$£€¥（【《「『“‘")
_WIDE = frozenset("。，、；：！？（）【】《》「」『』…")
_JOINING = frozenset("-'’/@_")
_QUOTE = '"'


def detokenized(tokens: Iterable[str]) -> str:
    """Return the text that tokens of WordPiece stand for, with spaces where people write them.

    The spaces of a text are no part of its tokens, so that these are rules: none before a comma or a closing bracket,
    none after an opening one, none around the hyphen, the apostrophe or the slash in a word, none in numbers such as
    `1,000.5`, and none beside ideographs and their punctuation. Straight quotes open and close in turn.

    >>> detokenized(["don", "'", "t", "stop", "(", "well", "-", "known", ")", ",", "3", ".", "5", "%", "!"])
    "don't stop (well-known), 3.5%!"
    >>> detokenized(["un", "##seen", "北", "京", "2008"])
    'unseen北京2008'

    Args:
        tokens: tokens of a vocabulary, without special tokens.
    """
    words = _words(tokens)
    text, inside_quotes, glued = "", False, True
    for number, word in enumerate(words):
        following = words[number + 1] if number + 1 < len(words) else ""
        before = words[number - 1] if number else ""
        joins = word in _JOINING and _is_wordy(before) and _is_wordy(following)
        in_number = word in {".", ",", ":"} and before.isdigit() and following.isdigit()
        closes = word == _QUOTE and inside_quotes
        opens = word == _QUOTE and not inside_quotes
        if not (glued or joins or closes or word in _NO_SPACE_BEFORE or _is_wide(word) or _is_wide(before)):
            text += " "
        text += word
        inside_quotes ^= word == _QUOTE
        glued = joins or in_number or opens or word in _NO_SPACE_AFTER
    return text


def _words(tokens: Iterable[str]) -> list[str]:
    """Return the words of tokens: a token `##...` joins the one before it."""
    words: list[str] = []
    for token in tokens:
        if token.startswith("##") and len(token) > 2 and words:
            words[-1] += token[2:]
        else:
            words.append(token)
    return words


def _is_wordy(word: str) -> bool:
    return bool(word) and word[0].isalnum() and not _is_wide(word)


def _is_wide(word: str) -> bool:
    return bool(word) and (is_ideograph(word[0]) or word[0] in _WIDE)
