"""Scripts that are written without spaces between words, ideographs above all."""

import functools

IDEOGRAPH_RANGES = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)
"""First and last code points of the blocks that `_is_chinese_char` of google-research/bert lists.

Hiragana, Katakana and Hangul are left out: BERT treats them as letters.
"""


def is_ideograph(character: str) -> bool:
    """Return whether a character is an ideograph.

    >>> is_ideograph("北"), is_ideograph("ひ"), is_ideograph("a")
    (True, False, False)
    """
    return _is_in(IDEOGRAPH_RANGES, character)


_LETTER_RANGES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x19E0, 0x19FF),
    (0x3005, 0x3007),  # ideographic iteration, closing and zero
    (0x3041, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),
    (0xA9E0, 0xA9FF),  # Myanmar
    (0xAA60, 0xAA7F),
    (0xFF66, 0xFF9F),  # Katakana of half the width
)
"""First and last code points of other letters that are written without spaces between words."""


@functools.lru_cache(maxsize=1 << 16)
def is_written_without_spaces(character: str) -> bool:
    """Return whether a character belongs to a script that sets no spaces between words.

    >>> [is_written_without_spaces(character) for character in "北ひกa한"]
    [True, True, True, False, False]
    """
    return _is_in(IDEOGRAPH_RANGES, character) or _is_in(_LETTER_RANGES, character)


def _is_in(ranges: tuple[tuple[int, int], ...], character: str) -> bool:
    code = ord(character)
    return any(first <= code <= last for first, last in ranges)
