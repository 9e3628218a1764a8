"""Frozen Unicode 14.0 data: character classes, lower case and canonical decompositions, the same under every Python.

The data are in `unicode_tables.npz`, which `generate_unicode_tables.py` makes. Code points that Unicode 14.0 does not
assign are ordinary characters without case or decomposition, whatever later versions say.
"""

import importlib.resources
import io

import numpy as np

ORDINARY, SPACE, DROPPED, PUNCTUATION, NONSPACING_MARK = range(5)
"""Values of `CHARACTER_CLASS`. SPACE cuts words; DROPPED is NUL, U+FFFD, control and format characters (Cc, Cf)."""

UNCASED, CASED, CASE_IGNORABLE = range(3)
"""Values of `CASE_CLASS`."""

_HANGUL_FIRST, _HANGUL_LAST = 0xAC00, 0xD7A3
_CAPITAL_SIGMA, _FINAL_SIGMA = "Σ", "ς"


def _load() -> dict[str, np.ndarray]:
    data = importlib.resources.files("bert_tf.tokenization").joinpath("unicode_tables.npz").read_bytes()
    with np.load(io.BytesIO(data)) as archive:
        return dict(archive)


def _expand(name: str) -> bytes:
    """Return one byte for each code point. Indexing bytes is the fastest lookup in plain Python."""
    return np.repeat(_TABLES[f"{name}_values"], _TABLES[f"{name}_lengths"]).tobytes()


def _mapping(name: str) -> dict[int, str]:
    targets = "".join(map(chr, _TABLES[f"{name}_to"].tolist()))
    ends = np.cumsum(_TABLES[f"{name}_lengths"], dtype=np.int64).tolist()
    starts = [0, *ends[:-1]]
    codes = _TABLES[f"{name}_from"].tolist()
    return {code: targets[start:end] for code, start, end in zip(codes, starts, ends, strict=True)}


_TABLES = _load()
UNICODE_VERSION = str(_TABLES["unicode_version"])
CHARACTER_CLASS = _expand("class")
CASE_CLASS = _expand("case")
COMBINING_CLASS = _expand("combining")
WORD_CHARACTER = _expand("word")
_LOWER = _mapping("lower")
_DECOMPOSITION = _mapping("decomposition")


def lower(character: str) -> str:
    """Return the lower case of one character on its own (one or two characters)."""
    return _LOWER.get(ord(character), character)


def decompose(character: str) -> str:
    """Return the full canonical decomposition of one character."""
    code = ord(character)
    if _HANGUL_FIRST <= code <= _HANGUL_LAST:
        # Unicode 14.0, section 3.12: a leading consonant, a vowel, and perhaps a final consonant.
        rest, final = divmod(code - _HANGUL_FIRST, 28)
        leading, vowel = divmod(rest, 21)
        return chr(0x1100 + leading) + chr(0x1161 + vowel) + (chr(0x11A7 + final) if final else "")
    return _DECOMPOSITION.get(code, character)


def mapped_code_points() -> set[int]:
    """Return the code points that are not ordinary, or have a lower case or a decomposition."""
    classes = np.nonzero(np.frombuffer(CHARACTER_CLASS, np.uint8))[0].tolist()
    return {*classes, *_LOWER, *_DECOMPOSITION, *range(_HANGUL_FIRST, _HANGUL_LAST + 1)}


def is_final_sigma(word: str, index: int) -> bool:
    """Return whether the lower case of the capital sigma at `index` is the final form U+03C2.

    It is if, case-ignorable characters aside, a cased character precedes the sigma and none follows it (Unicode 14.0,
    table 3-17).
    """
    return (
        _first_case(word, range(index - 1, -1, -1)) == CASED and _first_case(word, range(index + 1, len(word))) != CASED
    )


def _first_case(word: str, indices: range) -> int:
    """Return the case class of the first character at `indices` that is not case-ignorable, or UNCASED."""
    for index in indices:
        case_class = CASE_CLASS[ord(word[index])]
        if case_class != CASE_IGNORABLE:
            return case_class
    return UNCASED


def lower_characters(word: str) -> list[str]:
    """Return `word.lower()` as one string for each character of `word`."""
    return [
        (_FINAL_SIGMA if is_final_sigma(word, index) else "σ") if character == _CAPITAL_SIGMA else lower(character)
        for index, character in enumerate(word)
    ]


def folded_parts(character: str, lower_case: bool, decomposed: bool) -> list[str]:
    """Return the characters that one character becomes on its own when it is lower-cased, decomposed or both."""
    lowered = lower(character) if lower_case else character
    return [part for one in lowered for part in (decompose(one) if decomposed else one)]


def characters_with_context(lower_case: bool = True, decomposed: bool = True) -> list[str]:
    """Return the few dozen characters whose folded form depends on their neighbours.

    These are capital sigma if text is lower-cased. If accents are stripped from decomposed text, they are the
    characters that yield a mark which is not stripped (category Mc) and which has a combining class, so that it can
    change its order with another mark.

    Args:
        lower_case: whether text is lower-cased.
        decomposed: whether text is decomposed and its nonspacing marks are stripped.
    """
    found = [_CAPITAL_SIGMA] if lower_case else []
    if decomposed:
        marked = np.nonzero(np.frombuffer(COMBINING_CLASS, np.uint8))[0].tolist()
        found += [
            chr(code)
            for code in sorted({*marked, *_LOWER, *_DECOMPOSITION})
            if any(
                COMBINING_CLASS[ord(part)] and CHARACTER_CLASS[ord(part)] != NONSPACING_MARK
                for part in folded_parts(chr(code), lower_case, decomposed)
            )
        ]
    return found


def canonical_order(characters: list[str]) -> list[int]:
    """Return the indices of decomposed `characters` in canonical order: marks between two starters, sorted stably."""
    order = list(range(len(characters)))
    classes = [COMBINING_CLASS[ord(character)] for character in characters]
    start = 0
    for end in range(len(characters) + 1):
        if end == len(characters) or classes[end] == 0:
            order[start:end] = sorted(order[start:end], key=classes.__getitem__)
            start = end + 1
    return order
