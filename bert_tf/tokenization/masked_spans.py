"""Texts with spans of masks, `[MASK]` or `[MASK:8]`, and the text that tokens in their places make."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bert_tf.tokenization.detokenization import goes_on, marks_of, spaces_before_words
from bert_tf.tokenization.vocabulary import MASK

_SPAN = re.compile(r"\[MASK(?::([^\[\]]*))?\]")
_COUNT = re.compile(r"[1-9][0-9]{0,8}")


class MaskedText(NamedTuple):
    """A text with spans of masks.

    Attributes:
        parts: the text before, between and after the spans, one more than there are spans, as it was written.
        counts: the number of masks of each span.
    """

    parts: tuple[str, ...]
    counts: tuple[int, ...]

    def expanded(self) -> str:
        """Return the text with a `[MASK]` for each token."""
        return self.parts[0] + "".join(
            MASK * count + part for count, part in zip(self.counts, self.parts[1:], strict=True)
        )

    def may_continue(self) -> list[bool]:
        """Return whether each mask may become a `##` token: it directly follows a word or another mask."""
        found: list[bool] = []
        for part, count in zip(self.parts, self.counts, strict=False):
            found.append(marks_of(part[-1]).wordy if part else bool(found))
            found.extend([True] * (count - 1))
        return found

    def filled(self, tokens: Sequence[Sequence[str]], words_of: Callable[[str], list[str]]) -> tuple[str, list[str]]:
        """Return the text with tokens instead of masks.

        The text around the spans stays as it was written. Where no space was written beside a span, the rules of
        `detokenized` decide whether there is one.

        >>> text = masked_text("The [MASK:2]was[MASK]")
        >>> text.filled([["meet", "##ing"], ["."]], str.split)
        ('The meeting was.', ['meeting', '.'])

        Args:
            tokens: the tokens of each span.
            words_of: the function that cuts a text into words, such as `BasicTokenizer.words`.

        Returns:
            The text, and the text of each span.
        """
        words = words_of(self.parts[0])
        spans: list[list[tuple[str, int | None]]] = []  # text, and the index of the word that it begins, if any
        following = []  # the index of the first word after each span
        for span, part in zip(tokens, self.parts[1:], strict=True):
            spans.append([])
            for token in span:
                if goes_on(token) and words:
                    words[-1] += token[2:]
                    spans[-1].append((token[2:], None))
                else:
                    spans[-1].append((token, len(words)))
                    words.append(token)
            following.append(len(words))
            words += words_of(part)
        spaces = [*spaces_before_words(words), False]

        text, found = self.parts[0], []
        for pieces, after, part in zip(spans, following, self.parts[1:], strict=True):
            span_text = ""
            for piece, index in pieces:
                if index is not None and spaces[index]:
                    if span_text:
                        span_text += " "
                    elif not text[-1:].isspace():
                        text += " "
                span_text += piece
            found.append(span_text)
            text += span_text
            if part and spaces[after] and not part[0].isspace():
                text += " "
            text += part
        return text, found


def masked_text(text: str, name: str = "`text`") -> MaskedText:
    """Return a text, cut at its masks.

    Args:
        text: a text with `[MASK]` for each missing token, or `[MASK:n]` for n of them.
        name: the name of the text, for messages.

    Raises:
        ValueError: the text has no mask, or n is not a number from 1 on.
    """
    parts, counts, end = [], [], 0
    for match in _SPAN.finditer(text):
        count = match[1]
        if count is not None and not _COUNT.fullmatch(count):
            raise ValueError(
                f"{name}: a mask must be [MASK], or [MASK:n] with n from 1 to 999999999. Received: {match[0]!r:.100}"
            )
        parts.append(text[end : match.start()])
        counts.append(1 if count is None else int(count))
        end = match.end()
    if not counts:
        raise ValueError(f"{name} must hold [MASK] or [MASK:n]. Received: {text!r:.100}")
    return MaskedText((*parts, text[end:]), tuple(counts))
