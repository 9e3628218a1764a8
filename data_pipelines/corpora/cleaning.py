"""The cleaning of text in any language: Unicode is repaired, control characters and HTML mark-up are dropped."""

import html
import itertools
import re
import unicodedata

import ftfy

# Printable ASCII needs no repair: mojibake takes bytes above 127, and ASCII is neither decomposed nor a control.
_NOTHING_TO_REPAIR = re.compile(r"[\t\x20-\x7e]*")
# U+0085 is left out: before the repair it is more often a byte of a wrongly decoded letter than a line break.
_NEW_LINES = re.compile("\r\n|[\r\x0b\x0c\u2028\u2029]")
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# Controls (except tab and line feed), replacement characters, deprecated format characters, byte-order marks and code
# points that are no characters. Joiners and direction marks stay, because Persian, Hindi and emoji need them.
# The zero-width space separates words, in Khmer above all: it becomes a space, or tokenizers would join the words.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u206a-\u206f\ufeff\ufff9-\uffff\ufdd0-\ufdef\ufffe\ud800-\udfff\U000e0000-\U000e0001]"
)

# Python orders combining marks in quadratic time. A text that people write has a few on a letter.
_LONG_RUN_OF_MARKS = re.compile(r"[^\w\s\x00-\x7f]{31,}")

# The elements of the HTML standard and of HTML 4. Other words in angle brackets, as in `vector<int>`, are text.
_BLOCK_ELEMENTS = (
    "address|article|aside|blockquote|body|br|button|caption|center|col|colgroup|dd|details|dialog|dir|div|dl|dt|"
    "fieldset|figcaption|figure|footer|form|frame|frameset|h1|h2|h3|h4|h5|h6|head|header|hgroup|hr|html|iframe|legend|"
    "li|main|menu|nav|noframes|noscript|ol|optgroup|option|p|pre|search|section|select|summary|table|tbody|td|template|"
    "textarea|tfoot|th|thead|title|tr|ul|video"
)
_INLINE_ELEMENTS = (
    "a|abbr|acronym|area|audio|b|base|basefont|bdi|bdo|big|canvas|cite|code|data|datalist|del|dfn|em|embed|font|i|img|"
    "input|ins|kbd|label|link|map|mark|meta|meter|object|output|param|picture|progress|q|rp|rt|ruby|s|samp|script|slot|"
    "small|source|span|strike|strong|style|sub|sup|svg|time|track|tt|u|var|wbr"
)
_UNSEEN = re.compile(r"<(?:(!)--|(?:(script)|(style))\b[^<>]*>)", re.I)
_UNSEEN_ENDS = (re.compile("-->"), re.compile(r"</script\s*>", re.I), re.compile(r"</style\s*>", re.I))
_DOCTYPE = re.compile(r"<!DOCTYPE\b[^<>]*>", re.I)
_TAG = re.compile(
    rf"</?(?:({_BLOCK_ELEMENTS})|{_INLINE_ELEMENTS})"
    r"""((?:\s+[\w:@.-]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>=`]+))?)*)\s*/?>""",
    re.I,
)
# The attributes without a value that HTML has. Other words after an element's name, as in `a <b and b> c`, are text,
# unless an attribute with a value comes first, or a quoted value shows that the whole is a tag.
_ATTRIBUTES_WITHOUT_VALUE = re.compile(
    "allowfullscreen|async|autofocus|autoplay|checked|compact|contenteditable|controls|declare|default|defer|disabled|"
    "download|draggable|formnovalidate|hidden|inert|ismap|itemscope|loop|multiple|muted|nohref|nomodule|noresize|"
    "noshade|novalidate|nowrap|open|playsinline|readonly|required|reversed|scoped|seamless|selected|sortable|"
    "truespeed|typemustmatch|.*[-:@].*",
    re.I,
)
_WITH_VALUE = re.compile(r"\s+[^\s=]+\s*=\s*[^\s=]+")
# An entity needs its semicolon, because `AT&T` and `?a=1&copy=2` are text.
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.I)


def clean_text(text: str) -> str:
    r"""Return text without the traces of damaged encodings, terminals and web pages.

    These are the changes:

    - Text that was decoded with the wrong character set is repaired (by ftfy, line by line).
    - Characters are composed (NFC). Zero-width spaces become spaces.
    - Control characters, terminal codes and U+FFFD are dropped.
    - HTML comments, scripts, styles and tags are dropped. Tags of block elements become line breaks.
    - HTML entities are replaced by their characters.
    - Line breaks of every kind become `\n`.

    Quotes, dashes, ligatures and full-width characters stay as they are.

    Args:
        text: one document or a part of it. A tag may run over several lines.

    >>> clean_text("<p>The caf&eacute; &amp; bar<br>was na\xc3\xafve.</p>")
    '\nThe café & bar\nwas naïve.\n'
    """
    lines = _NEW_LINES.sub("\n", text).split("\n")
    text = "\n".join(line if _NOTHING_TO_REPAIR.fullmatch(line) else _repaired(line) for line in lines)
    if "<" in text:
        text = _TAG.sub(_without_tag, _DOCTYPE.sub("", _without_unseen(text)))
    if "&" in text:
        # An entity may mean a control character, or an accent that composes with the letter before it.
        replaced = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
        text = text if replaced == text else _composed(_CONTROLS.sub("", replaced.replace("\u200b", " ")))
    return text


def _repaired(line: str) -> str:
    # The encoding is repaired before control characters are dropped: wrongly decoded text contains them.
    text = _TERMINAL_CODES.sub("", ftfy.fix_encoding(line)).replace("\u200b", " ")
    return _composed(_CONTROLS.sub("", text))


def _composed(text: str) -> str:
    """Return the text in NFC."""
    return unicodedata.normalize("NFC", _LONG_RUN_OF_MARKS.sub(_with_marks_in_order, text))


def _with_marks_in_order(match: re.Match[str]) -> str:
    """Return the characters of a match, decomposed, with their combining marks in canonical order."""
    decomposed = "".join(unicodedata.normalize("NFD", character) for character in match[0])
    ordered: list[str] = []
    for is_mark, run in itertools.groupby(decomposed, lambda character: unicodedata.combining(character) > 0):
        characters = list(run)
        ordered += sorted(characters, key=unicodedata.combining) if is_mark else characters
    return "".join(ordered)


def _without_tag(tag: re.Match[str]) -> str:
    """Return a line break for the tag of a block element and nothing for other tags; text that is no tag stays."""
    is_certain = tag[0].startswith("</") or '"' in tag[2] or "'" in tag[2] or _WITH_VALUE.match(tag[2])
    if not is_certain:
        for word in _WITH_VALUE.sub("", tag[2]).split():
            if not _ATTRIBUTES_WITHOUT_VALUE.fullmatch(word):
                return tag[0]
    return "\n" if tag[1] else ""


def _without_unseen(text: str) -> str:
    """Return HTML without comments, scripts and styles, in one pass. An element that is never closed stays."""
    kept = []
    start = 0
    never_closed: set[int] = set()
    opening = _UNSEEN.search(text)
    while opening:
        kind = opening.lastindex or 1
        end = None if kind in never_closed else _UNSEEN_ENDS[kind - 1].search(text, opening.end())
        if end:
            kept += [text[start : opening.start()], "" if opening[1] else "\n"]
            start = end.end()
        else:
            never_closed.add(kind)
        opening = _UNSEEN.search(text, start if end else opening.end())
    return "".join([*kept, text[start:]])
