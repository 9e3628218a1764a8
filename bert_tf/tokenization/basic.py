"""The first step of tokenization, from text to words, on frozen Unicode 14.0.

It follows `BasicTokenizer` of google-research/bert `tokenization.py`, in this order: drop NUL, U+FFFD and control
characters; put spaces around CJK ideographs; cut at white space; for uncased models, lower-case each word, decompose it
(NFD) and drop its nonspacing marks; cut at punctuation.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bert_tf.tokenization import unicode_tables as ucd
from bert_tf.utils.ideographs import IDEOGRAPH_RANGES, is_ideograph

_NO_SPACES = re.compile("[^ ]+")


class Word(NamedTuple):
    """A word as WordPiece sees it.

    Attributes:
        text: the word.
        starts: for each character of `text`, the index of the first original character that it came from.
        ends: for each character of `text`, the index after the last original character that it came from.
    """

    text: str
    starts: list[int]
    ends: list[int]


class _CharacterTable(dict[int, str]):
    """A table for `str.translate` that computes an entry when a code point is first met."""

    def __init__(self, replacement: Callable[[str], str]):
        super().__init__()
        self._replacement = replacement

    def __missing__(self, code: int) -> str:
        replacement = self[code] = self._replacement(chr(code))
        return replacement


class BasicTokenizer:
    """A splitter of text into words.

    Args:
        do_lower_case: whether to lower-case, as uncased models need.
        strip_accents: whether to strip accents; None for the value of `do_lower_case`, as in the reference.
        tokenize_chinese_chars: whether each ideograph is a word.

    Attributes:
        strips_accents: whether accents are stripped.
        context_characters: the characters whose folded form depends on their neighbours.
    """

    def __init__(
        self, do_lower_case: bool = True, *, strip_accents: bool | None = None, tokenize_chinese_chars: bool = True
    ):
        self.do_lower_case = do_lower_case
        self.strips_accents = do_lower_case if strip_accents is None else strip_accents
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self._clean_table = _CharacterTable(self.clean)
        self._fold_table = _CharacterTable(self.fold)
        self.context_characters = frozenset(ucd.characters_with_context(do_lower_case, self.strips_accents))

    def clean(self, character: str) -> str:
        """Clean one character, and set off an ideograph by spaces.

        This follows `_clean_text` and `_tokenize_chinese_chars` of the reference.

        Returns:
            The character, "" if it is dropped, " " for white space, or the ideograph between two spaces.
        """
        character_class = ucd.CHARACTER_CLASS[ord(character)]
        if character_class == ucd.SPACE:
            return " "
        if character_class == ucd.DROPPED:
            return ""
        return f" {character} " if self._is_cut(character) else character

    def _is_cut(self, character: str) -> bool:
        return self.tokenize_chinese_chars and is_ideograph(character)

    def fold_case(self, character: str) -> list[str]:
        """Return the characters that a cleaned character becomes on its own: lower-cased, without its accents."""
        parts = ucd.folded_parts(character, self.do_lower_case, self.strips_accents)
        if self.strips_accents:
            parts = [part for part in parts if ucd.CHARACTER_CLASS[ord(part)] != ucd.NONSPACING_MARK]
        return parts

    def fold(self, character: str) -> str:
        """Return what one character becomes on its own: itself, "", a space, or characters with spaces at the cuts.

        If a text holds none of `context_characters`, folding each of its characters and cutting the result at spaces
        gives its words. Only two steps of the reference look at more than one character: the final form of sigma
        and the canonical order of marks.
        """
        cleaned = self.clean(character)
        if cleaned in ("", " "):
            return cleaned
        parts = self.fold_case(character)
        cut = [f" {part} " if ucd.CHARACTER_CLASS[ord(part)] == ucd.PUNCTUATION else part for part in parts]
        folded = "".join(cut)
        return f" {folded} " if self._is_cut(character) else folded

    def folded_characters(self) -> list[str]:
        """Return all characters that `fold` may change, for lookup tables. It leaves every other character as it is."""
        codes = {code for first, last in IDEOGRAPH_RANGES for code in range(first, last + 1)}
        return [chr(code) for code in sorted(codes | ucd.mapped_code_points())]

    def split_spaces(self, text: str) -> list[str]:
        """Clean the text and cut it at spaces. The strings may be empty.

        Printable ASCII needs no cleaning: it holds no control character, no white space but the space itself, and no
        ideograph. For ASCII, `isprintable` is the same in every Python. Cutting at " " alone is enough, because
        the table has turned all white space into " ".
        """
        if not (text.isascii() and text.isprintable()):
            text = text.translate(self._clean_table)
        return text.split(" ")

    def split_word(self, word: str) -> list[str]:
        """Return the words of one string of `split_spaces`: case and accents folded, cut at punctuation."""
        if self.context_characters.isdisjoint(word):
            return [part for part in word.translate(self._fold_table).split(" ") if part]
        return [part.text for part in self.split_word_with_offsets(word)]

    def folded(self, text: str) -> str:
        """Return a text that gives `words(text)` when it is cut at spaces and around ASCII punctuation.

        Its only white space is the space, and spaces surround all punctuation outside ASCII, and ideographs that are
        words.
        """
        if self.context_characters.isdisjoint(text):
            return text.translate(self._fold_table)
        return " ".join(self.words(text))

    def words(self, text: str) -> list[str]:
        """Return the text's words in order."""
        return [part for word in self.split_spaces(text) for part in self.split_word(word)]

    def split_spaces_with_offsets(self, text: str) -> list[tuple[str, Sequence[int]]]:
        """Return the non-empty strings of `split_spaces`, each with the indices in `text` of its characters."""
        if text.isascii() and text.isprintable():
            return [(match[0], range(*match.span())) for match in _NO_SPACES.finditer(text)]
        strings: list[tuple[list[str], list[int]]] = [([], [])]
        for index, character in enumerate(text):
            for part in self._clean_table[ord(character)]:
                if part == " ":
                    strings.append(([], []))
                else:
                    strings[-1][0].append(part)
                    strings[-1][1].append(index)
        return [("".join(characters), indices) for characters, indices in strings if characters]

    def split_word_with_offsets(self, word: str) -> list[Word]:
        """Return the words of `split_word` with offsets into `word`, step by step as the reference works.

        A stripped mark belongs to the character before it, so that an offset never separates the two.
        """
        lowered = ucd.lower_characters(word) if self.do_lower_case else list(word)
        starts = [index for index, parts in enumerate(lowered) for _ in parts]
        characters = list("".join(lowered))
        if self.strips_accents:
            expanded = [
                (part, start)
                for character, start in zip(characters, starts, strict=True)
                for part in ucd.decompose(character)
            ]
            order = ucd.canonical_order([part for part, _ in expanded])
            characters, starts = [expanded[i][0] for i in order], [expanded[i][1] for i in order]
        words: list[tuple[list[str], list[int], list[int]]] = []
        starts_new_word = True
        for character, start in zip(characters, starts, strict=True):
            character_class = ucd.CHARACTER_CLASS[ord(character)]
            if self.strips_accents and character_class == ucd.NONSPACING_MARK:
                if words:
                    ends = words[-1][2]
                    ends[-1] = max(ends[-1], start + 1)
                continue
            is_punctuation = character_class == ucd.PUNCTUATION
            if is_punctuation or starts_new_word:
                words.append(([], [], []))
            text, text_starts, text_ends = words[-1]
            text.append(character)
            text_starts.append(start)
            text_ends.append(start + 1)
            starts_new_word = is_punctuation
        return [Word("".join(text), text_starts, text_ends) for text, text_starts, text_ends in words]

    def word_spans(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of each word in the text."""
        return [
            (indices[min(word.starts)], indices[max(word.ends) - 1] + 1)
            for string, indices in self.split_spaces_with_offsets(text)
            for word in self.split_word_with_offsets(string)
        ]

    def normalize(self, text: str) -> tuple[str, Sequence[int], Sequence[int]]:
        """Return the text before it is cut into words: cleaned, ideographs set off, case and accents folded.

        Returns:
            The normalized text; and for each of its characters the index of the first character of `text` that it came
            from, and the index after the last one.
        """
        if text.isascii() and text.isprintable():
            lowered = text.lower() if self.do_lower_case else text
            return lowered, range(len(text)), range(1, len(text) + 1)
        cleaned = [(part, index) for index, character in enumerate(text) for part in self._clean_table[ord(character)]]
        characters: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        for is_space, group in itertools.groupby(cleaned, key=lambda item: item[0] == " "):
            parts, indices = zip(*group, strict=True)
            words = [Word("".join(parts), [*range(len(parts))], [*range(1, len(parts) + 1)])]
            if not is_space:
                words = self.split_word_with_offsets(words[0].text)
            for word in words:
                characters.append(word.text)
                starts.extend(indices[start] for start in word.starts)
                ends.extend(indices[end - 1] + 1 for end in word.ends)
        return "".join(characters), starts, ends
