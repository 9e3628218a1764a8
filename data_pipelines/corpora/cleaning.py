"""Clean text of any language: repair Unicode, drop control characters and HTML mark-up."""

import html
import re
import unicodedata

import ftfy

# Printable ASCII can be neither mojibake (which takes bytes above 127) nor decomposed, and holds no control character.
_NOTHING_TO_REPAIR = re.compile(r"[\t\x20-\x7e]*")
# Not U+0085: before the repair it is more often a byte of a wrongly decoded letter than a line break.
_NEW_LINES = re.compile("\r\n|[\r\x0b\x0c\u2028\u2029]")
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# Controls but tab and line feed, replacement characters, deprecated format characters, byte-order marks, what is no
# character at all. Joiners and direction marks stay: scripts from Persian to Hindi and emoji need them.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u206a-\u206f\ufeff\ufff9-\uffff\ufdd0-\ufdef\ufffe\ud800-\udfff\U000e0000-\U000e0001]"
)

# The elements of the HTML standard and of HTML 4. Other words in angle brackets are text: `vector<int>`, `<unk>`.
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
    r"""(?:\s+[\w:@.-]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>=`]+))?)*\s*/?>""",
    re.I,
)
# Only with its semicolon: `AT&T` and `?a=1&copy=2` are text.
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.I)


def clean_text(text: str) -> str:
    r"""Return text without the traces of damaged encodings, terminals and web pages.

    Repairs text that was decoded with the wrong table (by ftfy, line by line), composes characters (NFC), drops
    control characters, terminal codes and U+FFFD, drops HTML comments, scripts, styles and tags (tags of blocks become
    line breaks, others nothing), and replaces HTML entities. Quotes, dashes, ligatures and full-width
    characters stay as they are. A line break of any kind becomes `\n`.

    Args:
        text: one document or a part of it; a tag may go over several of its lines.

    >>> clean_text("<p>The caf&eacute; &amp; bar<br>was na\xc3\xafve.</p>")
    '\nThe café & bar\nwas naïve.\n'
    """
    lines = _NEW_LINES.sub("\n", text).split("\n")
    text = "\n".join(line if _NOTHING_TO_REPAIR.fullmatch(line) else _repaired(line) for line in lines)
    if "<" in text:
        text = _TAG.sub(lambda tag: "\n" if tag[1] else "", _DOCTYPE.sub("", _without_unseen(text)))
    if "&" in text:
        # An entity may stand for a control character, or for a letter that composes with the one before it.
        replaced = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
        text = replaced if replaced == text else unicodedata.normalize("NFC", _CONTROLS.sub("", replaced))
    return text


def _repaired(line: str) -> str:
    # Before control characters go: wrongly decoded text is made of them.
    return unicodedata.normalize("NFC", _CONTROLS.sub("", _TERMINAL_CODES.sub("", ftfy.fix_encoding(line))))


def _without_unseen(text: str) -> str:
    """Return HTML without comments, scripts and styles, in one pass; an element that is never closed stays."""
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
