"""The characters that a vocabulary keeps, which decide how much of a text becomes `[UNK]`."""

import itertools
import math
from collections.abc import Callable, Mapping

COVERAGE = 0.9995
"""The share of a text that the characters of its vocabulary make up, where they fit: as for `character_coverage` of
SentencePiece (Kudo and Richardson 2018) in languages with many characters."""
ALWAYS_KEPT = 1000
"""The number of characters that are kept whatever they cover, if they take at most half of the vocabulary."""

_LARGEST_SHARE = 0.9  # of the vocabulary, so that some room is left for the words of other scripts
_LEAST_COVERAGE = 0.9


def by_frequency(frequencies: Mapping[str, int]) -> list[str]:
    """Return the characters, frequent ones first. Ties go to the smaller code point, whatever the order of counting."""
    return sorted(frequencies, key=lambda character: (-frequencies[character], character))


def choose_alphabet(
    frequencies: Mapping[str, int], size_of: Callable[[str], int], *, vocab_size: int, reserved: int
) -> list[str]:
    """Return the characters to keep: as many as cover 99.95 % of the text and fit, frequent ones first.

    Args:
        frequencies: how often each character occurs.
        size_of: returns the number of tokens that a character takes: 2 if it is also a continuation, else 1.
        vocab_size: the largest number of tokens.
        reserved: the number of tokens among them that are no characters of the text.

    Raises:
        ValueError: the characters that fit make up less than 90 % of the text.
    """
    room = max(0, vocab_size - reserved)
    ordered = by_frequency(frequencies)
    covered_by = list(itertools.accumulate(frequencies[character] for character in ordered))
    total = covered_by[-1]
    tokens = list(itertools.accumulate(map(size_of, ordered)))
    kept = 0
    for number, size in enumerate(tokens):
        is_needed = number == 0 or covered_by[number - 1] < COVERAGE * total
        if size > room * (_LARGEST_SHARE if is_needed else 0.5) or (not is_needed and number >= ALWAYS_KEPT):
            break
        kept = number + 1
    if kept == 0 or covered_by[kept - 1] < _LEAST_COVERAGE * total:
        least = next(
            size for size, covered in zip(tokens, covered_by, strict=True) if covered >= _LEAST_COVERAGE * total
        )
        raise ValueError(
            f"`vocab_size` must be at least {reserved + math.ceil(least / _LARGEST_SHARE)}, for {reserved} reserved "
            f"tokens and the characters that make up {_LEAST_COVERAGE:.0%} of the text. Received: {vocab_size}"
        )
    return ordered[:kept]


def extended_alphabet(
    alphabet: list[str],
    frequencies: Mapping[str, int],
    size_of: Callable[[str], int],
    *,
    spare: int,
    min_frequency: int,
) -> list[str]:
    """Return the alphabet with the next characters, which fill the room that a vocabulary has left.

    Args:
        alphabet: the characters that are kept already, the most frequent ones.
        frequencies: how often each character occurs.
        size_of: as for `choose_alphabet`.
        spare: the number of tokens that are left.
        min_frequency: characters that occur less often are not added.
    """
    more = []
    for character in by_frequency(frequencies)[len(alphabet) :]:
        spare -= size_of(character)
        if spare < 0 or frequencies[character] < min_frequency:
            break
        more.append(character)
    return alphabet + more
