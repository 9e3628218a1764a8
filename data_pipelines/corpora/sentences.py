"""The splitting of paragraphs into sentences."""

import re
from collections.abc import Iterator

import sentencex

from data_pipelines.corpora.documents import is_blank

# sentencex takes quadratic time on text without spaces, so that it sees a part of a long paragraph at a time. A part
# without a sentence's end grows up to the second number, and is then a sentence: as many characters fill any row.
_WINDOW_CHARACTERS = 1 << 12
_LONGEST_SENTENCE = 1 << 16
# An end so near to the window's end may depend on what follows the window.
_MARGIN = 64

# sentencex counts bytes, and fails at white space that has several. To it, a zero-width space joins two sentences.
_OTHER_SPACES = re.compile(r"[^\S \n]|[\u200b\ufeff]")

# Letters of the scripts that are written without spaces and share their full stops with Latin text: ideographs, kana,
# bopomofo; and the brackets and quotes that may close a sentence there.
_SPACELESS = (
    "\u3005-\u3007\u3041-\u30ff\u3105-\u312f\u31a0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_AFTER_SPACELESS = re.compile(rf"[{_SPACELESS}」』）】》〉〕][.!?]+\Z")
_AFTER_LATIN_WORD = re.compile(r"(?<![A-Za-z0-9.])[A-Za-z][A-Za-z0-9-]+(?:\.|[.!?]*\?[.!?]*)\Z")
_SPACELESS_START = re.compile(f"[{_SPACELESS}「『（【《〈〔“‘]")
_NAME_START = re.compile("[a-z0-9]")

# Khmer's full stops, which sentencex does not know; the abbreviation of "et cetera" holds two.
_KHMER_ENDS = re.compile(
    r"(?:(?<=[\u17d4\u17d5])|(?<=[\u17d4\u17d5][»”’\"')\]]))(?!\s*(?:\u179b?[\u17d4\u17d5]|\Z)|[»”’\"')\]])"
)


def split_sentences(text: str, language: str = "en") -> list[str]:
    """Return the sentences of a paragraph, without white space at their ends.

    Args:
        text: running text in any script, of any length.
        language: the ISO 639 code of the language whose abbreviations end no sentence. For unknown languages, the full
            stops of all scripts end sentences.

    >>> split_sentences("See tf.Tensor, e.g. here. Then 他来了。我走了。")
    ['See tf.Tensor, e.g. here.', 'Then 他来了。', '我走了。']
    >>> split_sentences("他来了.我走了!")
    ['他来了.', '我走了!']
    """
    sentences: list[str] = []
    parts: list[str] = []  # of the sentence whose end is not known yet
    for segment in _segments(text, language):
        if parts and _is_end(parts[-1], segment):
            sentences.append("".join(parts))
            parts = []
        parts.append(segment)
    sentences.append("".join(parts))
    stripped = (part.strip() for sentence in sentences for part in _KHMER_ENDS.split(sentence))
    return [sentence for sentence in stripped if not is_blank(sentence)]


def _is_end(segment: str, following: str) -> bool:
    """Return whether a sentence ends between two segments of sentencex.

    sentencex also splits between a full stop and a capital with no space between, as in `tf.Tensor`. Chinese and
    Japanese need no space there.
    """
    if not segment.endswith((".", "!", "?")):
        return True
    if _AFTER_SPACELESS.search(segment, max(0, len(segment) - _MARGIN)):
        return not (segment.endswith(".") and _NAME_START.match(following))  # as in `例子.com`
    # A Latin word may end a sentence too, but not an initial, and not a name with a mark, such as `Yahoo!`.
    ends = _AFTER_LATIN_WORD.search(segment, max(0, len(segment) - _MARGIN))
    return bool(ends and _SPACELESS_START.match(following))


def _segments(text: str, language: str) -> Iterator[str]:
    """Yield the segments of sentencex, which together are the text, in time that grows in proportion to the text."""
    start = 0
    size = _WINDOW_CHARACTERS
    while start < len(text):
        window = text[start : start + size]
        ends = _ends(window, language)
        if start + size < len(text):
            sure = [end for end in ends if end <= size - _MARGIN]
            if not sure and size < _LONGEST_SENTENCE:
                size *= 4
                continue
            ends = sure or [window.rfind(" ") + 1 or size]
        previous = 0
        for end in ends:
            yield window[previous:end]
            previous = end
        start += previous
        size = _WINDOW_CHARACTERS


def _ends(window: str, language: str) -> list[int]:
    """Return the index after each segment of the window."""
    ends: list[int] = []
    for segment in sentencex.segment(language, _OTHER_SPACES.sub(" ", window)):
        ends.append((ends[-1] if ends else 0) + len(segment))
    return ends
