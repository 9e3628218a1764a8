"""The options of a tokenizer that change ids. Their defaults are the rules of google-research/bert."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

MAX_WORD_CHARACTERS = 200
"""Longest word that is not unknown, as in the reference (`WordpieceTokenizer(max_input_chars_per_word=200)`)."""


@dataclasses.dataclass(frozen=True)
class AddedToken:
    """A token that is found in a text before the text is cut into words, as `tokenizers.AddedToken` describes it.

    Attributes:
        content: the token, which the vocabulary holds.
        single_word: whether the token is found only where no letter, digit or underscore is beside it.
        lstrip: whether the token takes the white space before it. No id depends on it.
        rstrip: whether the token takes the white space after it. No id depends on it.
        normalized: whether the token is searched in the normalized text (cleaned, lower-cased, without accents, as the
            other options say) instead of the text itself.
        special: whether `decode` leaves it out together with the special tokens.
        in_wordpiece: whether the token is a token of WordPiece too, which words may yield.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = True
    special: bool = False
    in_wordpiece: bool = False

    def __post_init__(self) -> None:
        if not self.content.strip():
            raise ValueError(f"`added_tokens` must have a `content` that is not blank. Received: {self.content!r}")


@dataclasses.dataclass(frozen=True)
class TokenizerOptions:
    """The options of a tokenizer beside its vocabulary and its casing.

    Attributes:
        strip_accents: whether nonspacing marks are stripped from the decomposed text; None to strip them if the
            vocabulary is uncased.
        tokenize_chinese_chars: whether each ideograph is a word.
        max_input_chars_per_word: the largest number of characters of a word. A longer one is `[UNK]`.
        added_tokens: the tokens that are found in a text before the text is cut into words.
    """

    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True
    max_input_chars_per_word: int = MAX_WORD_CHARACTERS
    added_tokens: tuple[AddedToken, ...] = ()

    def __post_init__(self) -> None:
        if self.max_input_chars_per_word < 1:
            raise ValueError(
                f"`max_input_chars_per_word` must be at least 1. Received: {self.max_input_chars_per_word!r}"
            )
        contents = [token.content for token in self.added_tokens]
        twice = next((content for content in contents if contents.count(content) > 1), None)
        if twice is not None:
            raise ValueError(f"`added_tokens` must hold each token once. Received: {twice!r} twice")

    def to_dict(self) -> dict[str, Any]:
        """Return the options as values that JSON can hold."""
        return dataclasses.asdict(self) | {"added_tokens": [dataclasses.asdict(token) for token in self.added_tokens]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TokenizerOptions":
        """Make the options whose `to_dict` returned `values`. Missing ones have their defaults.

        Raises:
            ValueError: an option is unknown or out of range.
        """
        try:
            added = tuple(AddedToken(**token) for token in values.get("added_tokens", ()))
            return cls(**{**values, "added_tokens": added})
        except TypeError as error:
            raise ValueError(f"the options of a tokenizer must be those of `TokenizerOptions` ({error})") from None

    def changes(self) -> dict[str, Any]:
        """Return the options that differ from the defaults, as values that JSON can hold."""
        default = TokenizerOptions().to_dict()
        return {name: value for name, value in self.to_dict().items() if value != default[name]}

    def digest_text(self) -> str:
        """Return the text that a hash of the vocabulary covers beside the tokens; "" at the defaults."""
        changes = self.changes()
        return json.dumps(changes, sort_keys=True, ensure_ascii=True) if changes else ""

    def __str__(self) -> str:
        parts = [
            f"{len(value)} added tokens" if name == "added_tokens" else f"{name} {value}"
            for name, value in self.changes().items()
        ]
        return ", ".join(parts)
