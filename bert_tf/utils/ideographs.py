"""Chinese, Japanese and Korean ideographs, which are written without spaces between words."""

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
    code = ord(character)
    return any(first <= code <= last for first, last in IDEOGRAPH_RANGES)
