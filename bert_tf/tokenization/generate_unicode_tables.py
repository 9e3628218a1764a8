"""The generator of `unicode_tables.npz`, the frozen Unicode 14.0 data that the tokenizer reads.

    python -m bert_tf.tokenization.generate_unicode_tables

Only maintainers run it, under a Python whose `unicodedata` is version 14.0.0 (Python 3.11). The file that it writes is
part of the package. The reference tokenizer takes categories, lower case and decompositions from the running Python, so
its ids change with the interpreter. Ours must not, because a vocabulary outlives many Pythons.
"""

import os
import sys
import unicodedata

import numpy as np

UNICODE_VERSION = "14.0.0"
CODE_POINTS = 0x110000
HANGUL_SYLLABLES = range(0xAC00, 0xD7A4)  # decomposed by arithmetic, not by table

# The classes of `google-research/bert` tokenization.py (`_clean_text`, `_is_punctuation`, `_run_strip_accents`).
ORDINARY, SPACE, DROPPED, PUNCTUATION, NONSPACING_MARK = range(5)
# The classes that decide on the final form of sigma (Unicode 14.0, section 3.13, Final_Sigma).
UNCASED, CASED, CASE_IGNORABLE = range(3)

# Symbols with the property Other_Alphabetic: circled, squared and negative letters.
_ALPHABETIC_SYMBOLS = (
    range(0x24B6, 0x24EA),
    range(0x1F130, 0x1F14A),
    range(0x1F150, 0x1F16A),
    range(0x1F170, 0x1F18A),
)


def character_class(character: str) -> int:
    """Return one of the five classes above."""
    category = unicodedata.category(character)
    if character in " \t\n\r" or category == "Zs":
        return SPACE
    if character in "\0\ufffd" or category in ("Cc", "Cf"):
        return DROPPED
    # `_clean_text` keeps U+2028 and U+2029, but the `str.split()` that follows cuts there.
    if character.isspace():
        return SPACE
    if character in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~" or category.startswith("P"):
        return PUNCTUATION
    return NONSPACING_MARK if category == "Mn" else ORDINARY


def case_class(character: str) -> int:
    """Return one of the three case classes, by the form that `str.lower` gives a sigma after the character."""
    if (character + "Σ").lower()[-1] == "ς":
        return CASED
    return CASE_IGNORABLE if ("A" + character + "Σ").lower()[-1] == "ς" else UNCASED


def is_word_character(character: str) -> bool:
    r"""Return whether `\w` matches the character in Unicode's regular expressions (UTS 18, annex C).

    Those are alphabetic characters, marks, decimal digits, connector punctuation and the two join controls.
    """
    category = unicodedata.category(character)
    return (
        category[0] in "LM"
        or category in ("Nd", "Nl", "Pc")
        or character in "\u200c\u200d"
        or any(ord(character) in symbols for symbols in _ALPHABETIC_SYMBOLS)
    )


def _runs(name: str, values: list[int]) -> dict[str, np.ndarray]:
    """Encode the values of all code points by run lengths, because they are long runs of equal numbers."""
    array = np.array(values, np.uint8)
    starts = np.concatenate([[0], np.nonzero(np.diff(array))[0] + 1])
    return {
        f"{name}_lengths": np.diff(np.append(starts, len(array))).astype(np.int32),
        f"{name}_values": array[starts],
    }


def _mapping(name: str, mapping: dict[int, str]) -> dict[str, np.ndarray]:
    """Encode a mapping from code points to strings as three flat arrays."""
    return {
        f"{name}_from": np.array(list(mapping), np.int32),
        f"{name}_lengths": np.array([len(target) for target in mapping.values()], np.uint8),
        f"{name}_to": np.array([ord(character) for target in mapping.values() for character in target], np.int32),
    }


def make_tables() -> dict[str, np.ndarray]:
    """Return all arrays of the file by name.

    Raises:
        ValueError: this Python's Unicode data is of another version.
    """
    if unicodedata.unidata_version != UNICODE_VERSION:
        raise ValueError(
            f"the Unicode tables must be made with Unicode {UNICODE_VERSION} (Python 3.11). "
            f"Received: Python {sys.version.split()[0]} with Unicode {unicodedata.unidata_version}"
        )
    characters = [chr(code) for code in range(CODE_POINTS)]
    lower = {code: c.lower() for code, c in enumerate(characters) if c.lower() != c}
    decomposition = {
        code: unicodedata.normalize("NFD", c)
        for code, c in enumerate(characters)
        if code not in HANGUL_SYLLABLES and unicodedata.normalize("NFD", c) != c
    }
    return {
        "unicode_version": np.array(UNICODE_VERSION),
        **_runs("class", [character_class(c) for c in characters]),
        **_runs("case", [case_class(c) for c in characters]),
        **_runs("word", [is_word_character(c) for c in characters]),
        **_runs("combining", [unicodedata.combining(c) for c in characters]),
        **_mapping("lower", lower),
        **_mapping("decomposition", decomposition),
    }


def main() -> None:
    """Write the file beside this module."""
    path = os.path.join(os.path.dirname(__file__), "unicode_tables.npz")
    np.savez_compressed(path, **make_tables())  # type: ignore[arg-type]
    print(f"{path}: {os.path.getsize(path):,} bytes")


if __name__ == "__main__":
    main()
