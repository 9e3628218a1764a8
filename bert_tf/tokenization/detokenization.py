"""Tokens back to text as people write it: spaces, punctuation, numbers, and Chinese without spaces.

Axes: W words of a text.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_tf.utils.ideographs import is_ideograph

_NO_SPACE_BEFORE = frozenset(".,;:!?)]}%…。，、；：！？）】》」』”’")
_NO_SPACE_AFTER = frozenset("([{#$£€¥（【《「『“‘")
_WIDE = frozenset("。，、；：！？（）【】《》「」『』…")
_JOINING = frozenset("-'’/@_")
_IN_NUMBERS = frozenset(".,:")
_QUOTE = '"'


class WordMarks(NamedTuple):
    """The properties of words that the spaces between them depend on: bool [..., W], or bool of one word.

    Attributes:
        closing: no space stands before it.
        opening: no space stands after it.
        joining: it joins two words, such as a hyphen.
        in_number: it joins two numbers.
        quote: it is a straight quote.
        number: it has digits alone.
        wide: it begins with an ideograph, or a mark as wide.
        wordy: it begins with a letter or a digit of a script with spaces.
    """

    closing: Any
    opening: Any
    joining: Any
    in_number: Any
    quote: Any
    number: Any
    wide: Any
    wordy: Any


def marks_of(word: str) -> WordMarks:
    """Return the properties of a word."""
    wide = bool(word) and (is_ideograph(word[0]) or word[0] in _WIDE)
    return WordMarks(
        closing=word in _NO_SPACE_BEFORE,
        opening=word in _NO_SPACE_AFTER,
        joining=word in _JOINING,
        in_number=word in _IN_NUMBERS,
        quote=word == _QUOTE,
        number=word.isdigit(),
        wide=wide,
        wordy=bool(word) and word[0].isalnum() and not wide,
    )


def goes_on(token: str) -> bool:
    """Return whether a token joins the one before it."""
    return token.startswith("##") and len(token) > 2


def spaces_before(marks: WordMarks, numpy: Any = np) -> Any:
    """Return whether a space stands before each word, bool [..., W].

    Args:
        marks: the properties of all words.
        numpy: the module to compute with, `numpy` or `keras.ops`.
    """

    def before(values: Any) -> Any:
        return numpy.concatenate([numpy.zeros_like(values[..., :1]), values[..., :-1]], axis=-1)

    def following(values: Any) -> Any:
        return numpy.concatenate([values[..., 1:], numpy.zeros_like(values[..., :1])], axis=-1)

    quotes = numpy.where(marks.quote, 1, 0)
    inside_quotes = (numpy.cumsum(quotes, axis=-1) - quotes) % 2 == 1
    joins = marks.joining & before(marks.wordy) & following(marks.wordy)
    in_number = marks.in_number & before(marks.number) & following(marks.number)
    opens = marks.opening | (marks.quote & ~inside_quotes)
    closes = marks.closing | (marks.quote & inside_quotes)
    glued = before(joins | in_number | opens) | joins | closes | marks.wide | before(marks.wide)
    has_word_before = before(numpy.ones_like(marks.quote))
    return has_word_before & ~glued


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
    return "".join(_spaced_words(_words(tokens)))


def finished_text(tokens: Iterable[str]) -> str:
    """Return the beginning of a text that more tokens cannot change: all but its last word.

    >>> finished_text(["well", "-", "kno"])
    'well-'

    Args:
        tokens: the tokens so far, without special tokens.
    """
    return "".join(_spaced_words(_words(tokens))[:-1])


def _spaced_words(words: Sequence[str]) -> list[str]:
    """Return the words, each with the space before it."""
    return [" " * space + word for space, word in zip(spaces_before_words(words), words, strict=True)]


def spaces_before_words(words: Sequence[str]) -> list[bool]:
    """Return whether a space stands before each word of a text, by the rules of `detokenized`.

    Args:
        words: words and punctuation, such as those of `BasicTokenizer.words`.
    """
    if not words:
        return []
    return spaces_before(WordMarks(*np.array([marks_of(word) for word in words], bool).T)).tolist()


def _words(tokens: Iterable[str]) -> list[str]:
    """Return the words of tokens: a token `##...` joins the one before it."""
    words: list[str] = []
    for token in tokens:
        if goes_on(token) and words:
            words[-1] += token[2:]
        else:
            words.append(token)
    return words
