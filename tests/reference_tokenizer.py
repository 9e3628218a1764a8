"""A plain form of google-research/bert's tokenizer, without caches and tables, that the package's is compared with.

It uses the running Python's Unicode data, so the comparison is valid under Unicode 14.0 (Python 3.11) alone.
"""

import string
import unicodedata
from collections.abc import Mapping

from hypothesis import strategies as st

HAS_UNICODE_14 = unicodedata.unidata_version == "14.0.0"


def _is_cjk(code: int) -> bool:
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0x20000 <= code <= 0x2A6DF
        or 0x2A700 <= code <= 0x2B73F
        or 0x2B740 <= code <= 0x2B81F
        or 0x2B820 <= code <= 0x2CEAF
        or 0xF900 <= code <= 0xFAFF
        or 0x2F800 <= code <= 0x2FA1F
    )


def _cleaned(text: str, tokenize_chinese_chars: bool) -> str:
    cleaned = ""
    for character in text:
        category = unicodedata.category(character)
        if character in "\t\n\r" or category == "Zs":
            cleaned += " "
        elif character == "\ufffd" or category in ("Cc", "Cf"):
            continue
        elif tokenize_chinese_chars and _is_cjk(ord(character)):
            cleaned += f" {character} "
        else:
            cleaned += character
    return cleaned


def _cut_at_punctuation(word: str) -> list[str]:
    spaced = ""
    for character in word:
        is_punctuation = character in string.punctuation or unicodedata.category(character).startswith("P")
        spaced += f" {character} " if is_punctuation else character
    return spaced.split()


def words(
    text: str, do_lower_case: bool, *, strip_accents: bool | None = None, tokenize_chinese_chars: bool = True
) -> list[str]:
    found = []
    for word in _cleaned(text, tokenize_chinese_chars).split():
        if do_lower_case:
            word = word.lower()
        if do_lower_case if strip_accents is None else strip_accents:
            decomposed = unicodedata.normalize("NFD", word)
            word = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
        found.extend(_cut_at_punctuation(word))
    return found


def encode(text: str, ids: Mapping[str, int], do_lower_case: bool) -> list[int]:
    encoded = []
    for word in words(text, do_lower_case):
        tokens: list[int] = []
        start = 0
        while start < len(word) <= 200:
            prefix = "##" if start else ""
            ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in ids)
            end = next(ends, None)
            if end is None:
                tokens = []
                break
            tokens.append(ids[prefix + word[start:end]])
            start = end
        encoded.extend(tokens or [ids["[UNK]"]])
    return encoded


# Characters on which tokenizers have differed: sigma and its neighbours, marks of both kinds, controls, white space,
# and characters that become several, are cut, or decompose into something other than letters.
TRICKY = (
    "ΣσςΑα.'\u00ad\u0345\u02b0:\u0301\u0323\u0307İıIiẞßﬁǅÅ\u212b\u2126\u00e9\u1ec7\u0344\u037e\u1fef\u2260"
    "\u1b44\ua953\U000111c0\U0001d15e\U0001d165\U0001d16d\u302e\u302f\u0e33\u0f73\u0b94\u0d4a"
    "\0\x01\t\n\r\x0b\x0c\x1c\x1f\x7f\x85\xa0\u1680\u180e\u2000\u200b\u200d\u2028\u2029\u202e\u2060\u3000\ufeff\ufffd"
    "中国龥\u3007\uf900\ufa0e\U00020000\U0002f800かカ가힣ᄀ한ةلعहिन्दीกำ😀👩🏽\ufe0f🇫🇷᭭⹏"
    "\ue000\U000e0041\u0378 aZ09-_#[MASK]"
)
TEXTS = st.text(st.one_of(st.sampled_from(TRICKY), st.characters(exclude_categories=["Cs"])), max_size=60)
