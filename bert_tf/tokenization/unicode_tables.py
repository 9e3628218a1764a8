"""Frozen Unicode 14.0: character classes, lower case, canonical decomposition. Never the running Python's.

The data stands in `unicode_tables.npz`, made by `unicode_tables_generate.py`. Code points that Unicode 14.0 does not
assign are ordinary characters without case or decomposition, whatever later versions made of them.
"""

import importlib.resources
import io

import numpy as np

ORDINARY, SPACE, DROPPED, PUNCTUATION, NONSPACING_MARK = range(5)
"""Values of `CHARACTER_CLASS`. SPACE: cuts words. DROPPED: NUL, U+FFFD, control and format characters (Cc, Cf)."""

UNCASED, CASED, CASE_IGNORABLE = range(3)
"""Values of `CASE_CLASS`."""

_HANGUL_FIRST, _HANGUL_LAST = 0xAC00, 0xD7A3
_CAPITAL_SIGMA, _FINAL_SIGMA = "Σ", "ς"


def _load() -> dict[str, np.ndarray]:
    data = importlib.resources.files("bert_tf.tokenization").joinpath("unicode_tables.npz").read_bytes()
    with np.load(io.BytesIO(data)) as archive:
        return dict(archive)


def _expand(name: str) -> bytes:
    """One byte a code point: indexing bytes is the fastest lookup that plain Python has."""
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
_LOWER = _mapping("lower")
_DECOMPOSITION = _mapping("decomposition")


def lower(character: str) -> str:
    """The lower case of one character on its own (one or two characters)."""
    return _LOWER.get(ord(character), character)


def decompose(character: str) -> str:
    """The full canonical decomposition of one character."""
    code = ord(character)
    if _HANGUL_FIRST <= code <= _HANGUL_LAST:
        # Unicode 14.0, section 3.12: leading consonant, vowel, and a final consonant where there is one.
        rest, final = divmod(code - _HANGUL_FIRST, 28)
        leading, vowel = divmod(rest, 21)
        return chr(0x1100 + leading) + chr(0x1161 + vowel) + (chr(0x11A7 + final) if final else "")
    return _DECOMPOSITION.get(code, character)


def mapped_code_points() -> set[int]:
    """The code points that are not ordinary, or have a lower case or a decomposition."""
    classes = np.nonzero(np.frombuffer(CHARACTER_CLASS, np.uint8))[0].tolist()
    return {*classes, *_LOWER, *_DECOMPOSITION, *range(_HANGUL_FIRST, _HANGUL_LAST + 1)}


def is_final_sigma(word: str, index: int) -> bool:
    """Whether the capital sigma at `index` ends a word (Unicode 14.0, table 3-17): its lower case is then U+03C2.

    It does when, case-ignorable characters apart, a cased character stands before it and none behind it.
    """
    return (
        _first_case(word, range(index - 1, -1, -1)) == CASED and _first_case(word, range(index + 1, len(word))) != CASED
    )


def _first_case(word: str, indices: range) -> int:
    """The case class of the first character at `indices` that is not case-ignorable; UNCASED without one."""
    for index in indices:
        case_class = CASE_CLASS[ord(word[index])]
        if case_class != CASE_IGNORABLE:
            return case_class
    return UNCASED


def lower_characters(word: str) -> list[str]:
    """`word.lower()`, one string for each character of `word`."""
    return [
        (_FINAL_SIGMA if is_final_sigma(word, index) else "σ") if character == _CAPITAL_SIGMA else lower(character)
        for index, character in enumerate(word)
    ]


def characters_with_context() -> list[str]:
    """The few dozen characters whose lower-cased, stripped form depends on their neighbours.

    Capital sigma, and whatever yields a mark that stripping leaves (category Mc) and that has a combining class,
    so that it can change places with another mark.
    """
    marked = np.nonzero(np.frombuffer(COMBINING_CLASS, np.uint8))[0].tolist()
    return [_CAPITAL_SIGMA] + [
        chr(code)
        for code in sorted({*marked, *_LOWER, *_DECOMPOSITION})
        if any(
            COMBINING_CLASS[ord(part)] and CHARACTER_CLASS[ord(part)] != NONSPACING_MARK
            for lowered in lower(chr(code))
            for part in decompose(lowered)
        )
    ]


def canonical_order(characters: list[str]) -> list[int]:
    """The indices of decomposed `characters` in canonical order: marks sorted, stably, between two starters."""
    order = list(range(len(characters)))
    classes = [COMBINING_CLASS[ord(character)] for character in characters]
    start = 0
    for end in range(len(characters) + 1):
        if end == len(characters) or classes[end] == 0:
            order[start:end] = sorted(order[start:end], key=classes.__getitem__)
            start = end + 1
    return order
