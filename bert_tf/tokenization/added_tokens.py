"""Tokens that are found in a text before the text is cut into words, such as the markers of entities."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from bert_tf.tokenization import unicode_tables as ucd
from bert_tf.tokenization.basic import BasicTokenizer
from bert_tf.tokenization.options import AddedToken


class Part(NamedTuple):
    """A part of a text: an added token, or text between added tokens.

    Attributes:
        text: the part, normalized if a token was found in the normalized text.
        token_id: the id of the added token; None for other text.
        starts: for each character of `text`, the index of the first original character that it came from.
        ends: for each character of `text`, the index after the last original character that it came from.
    """

    text: str
    token_id: int | None
    starts: Sequence[int]
    ends: Sequence[int]

    def part(self, start: int, end: int, token_id: int | None = None) -> "Part":
        """Return the part from `start` to `end`."""
        return Part(self.text[start:end], token_id, self.starts[start:end], self.ends[start:end])


def whole(text: str) -> Part:
    """Return a text as one part."""
    return Part(text, None, range(len(text)), range(1, len(text) + 1))


class TokenMatcher:
    """The search for several strings: of those that begin at the leftmost place, the longest is found.

    Args:
        patterns: string -> (id of the token, whether it must be a single word).
    """

    def __init__(self, patterns: Mapping[str, tuple[int, bool]]):
        self._patterns = patterns
        self._lengths: dict[str, list[int]] = {}
        for pattern in sorted(patterns, key=len, reverse=True):
            lengths = self._lengths.setdefault(pattern[0], [])
            if len(pattern) not in lengths:
                lengths.append(len(pattern))
        self._first = re.compile(f"[{''.join(map(re.escape, self._lengths))}]")

    def split(self, part: Part) -> Iterator[Part]:
        """Yield the tokens found in a part, and the text between them."""
        text, done, searched = part.text, 0, 0
        for match in self._first.finditer(text):
            start = match.start()
            if start < searched:
                continue
            for length in self._lengths[match[0]]:
                found = self._patterns.get(text[start : start + length])
                if found is not None and start + length <= len(text):
                    break
            else:
                continue
            token_id, single_word = found
            # A token that is not a single word is no match, but the search goes on after it.
            searched = start + length
            if single_word and (_is_word(text, start - 1) or _is_word(text, searched)):
                continue
            if done < start:
                yield part.part(done, start)
            yield part.part(start, searched, token_id)
            done = searched
        if done < len(text):
            yield part.part(done, len(text)) if done else part


def _is_word(text: str, index: int) -> bool:
    return 0 <= index < len(text) and bool(ucd.WORD_CHARACTER[ord(text[index])])


class AddedTokenSplitter:
    """A splitter of texts at added tokens, which follows `added_vocabulary.rs` of the library `tokenizers`.

    Tokens that are not `normalized` are searched first, in the text. The others are searched in the normalized form of
    what is left.

    Args:
        added_tokens: the tokens.
        ids: the id of each.
        basic_tokenizer: the rules by which texts are normalized.

    Attributes:
        ids: the ids of the tokens in their order.
        literal: pattern in a text -> (id, whether it must be a single word), for tokens that are not `normalized`.
        normalized: the same for tokens and patterns in normalized texts.
    """

    def __init__(self, added_tokens: Sequence[AddedToken], ids: Mapping[str, int], basic_tokenizer: BasicTokenizer):
        self._basic_tokenizer = basic_tokenizer
        self.ids = tuple(ids[token.content] for token in added_tokens)
        self.literal = {
            token.content: (ids[token.content], token.single_word) for token in added_tokens if not token.normalized
        }
        self.normalized: dict[str, tuple[int, bool]] = {}
        for token in added_tokens:
            pattern = basic_tokenizer.normalize(token.content)[0] if token.normalized else ""
            if pattern:  # nothing is left of a token of control characters
                self.normalized.setdefault(pattern, (ids[token.content], token.single_word))
        self._literal = TokenMatcher(self.literal) if self.literal else None
        self._normalized = TokenMatcher(self.normalized) if self.normalized else None

    def split(self, text: Part) -> list[Part]:
        """Return the parts of a text in order; texts without an added token are one part, unchanged."""
        parts = list(self._literal.split(text)) if self._literal else [text]
        if self._normalized is None:
            return parts
        found: list[Part] = []
        for part in parts:
            found.extend([part] if part.token_id is not None else self._split_normalized(part))
        return found

    def _split_normalized(self, part: Part) -> list[Part]:
        assert self._normalized is not None
        text, starts, ends = self._basic_tokenizer.normalize(part.text)
        normalized = Part(text, None, [part.starts[i] for i in starts], [part.ends[i - 1] for i in ends])
        parts = list(self._normalized.split(normalized))
        return [part] if all(one.token_id is None for one in parts) else parts
