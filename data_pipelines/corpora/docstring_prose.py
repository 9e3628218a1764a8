"""The prose of docstrings: running text and descriptions, without code, tables, headings and markup.

Docstrings mix the layouts of Google and NumPy, reStructuredText and Markdown. No grammar fits them all, so lines are
judged by their form and indentation, and text that does not read like a sentence is dropped at the end.
"""

import inspect
import itertools
import re

from data_pipelines.corpora.sentences import split_sentences

# The forms of lines.
_UNDERLINE = re.compile(r"""^\s*([=\-~^*#+"`.:_])\1{2,}\s*$""")
_TABLE = re.compile(r"^\s*(\||\+[-=+]+|={2,}\s+={2,}|-{2,}\s+-{2,})")
_FENCE = re.compile(r"^\s*(```|~~~)")
_PROMPT = re.compile(r"^\s*(>>>|\.\.\.(\s|$)|In \[\d*\]:|\$ |% )")
_SECTION = re.compile(
    r"^\W*(args?|arguments|(other |keyword |call )?(parameters|args|arguments|attributes|methods|properties)|params?"
    r"|returns?|raises|yields|warns|examples?|example usage|usage|usage example|notes?|warnings?|see also|references?"
    r"|(input|output) shapes?|default values?|todo)\W*$",
    re.IGNORECASE,
)
_MAX_SECTION_TITLE = 30
_SKIPPED_SECTIONS = frozenset(("see also", "references", "reference"))
_DIRECTIVE = re.compile(r"^\.\.(?:\s+(?:([\w:-]+)::\s*)?(.*))?$")
_PROSE_DIRECTIVES = frozenset(("note", "warning", "tip", "important", "caution", "hint", "attention", "deprecated"))
_FIELD = re.compile(r"^[:@](\w+)[^:`]*:(?:\s+(.*))?$")  # roles such as :class:`Name` are no fields
_PROSE_FIELDS = frozenset(
    ("param", "parameter", "arg", "argument", "key", "keyword", "return", "returns", "raise", "raises", "yields", "var")
)
_BULLET = re.compile(r"^(?:[-*+•–]|\(?(?:\d{1,2}|[a-z])[.)])\s+")
_NAME = r"[`'\"*]*[\w.\-<>\[\]]+[`'\"*]*"
_NUMPY_ITEM = re.compile(rf"^{_NAME}(?:\s*,\s*{_NAME})*\s+:(?:\s|$)")
_GOOGLE_ITEM = re.compile(rf"^{_NAME}(?:\s*,\s*{_NAME})*\s*(?:\([^()]*(?:\([^()]*\)[^()]*)*\))?\s*:(?:\s+(.*))?$")

# Markup inside a line: a character that it always contains (which saves most searches), its form, its replacement.
_MARKUP: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("`", re.compile(r":(?:[\w.-]+:)*[\w-]+:`~[^`]*?([^`.]+)`"), r"\1"),  # :class:`~package.Name`
    ("`", re.compile(r":(?:[\w.-]+:)*[\w-]+:`!?([^`<]+?)(?:\s*<[^`>]*>)?`"), r"\1"),  # :func:`text <target>`
    ("`", re.compile(r"`([^`<]+?)\s*<[^`>]+>`_{0,2}"), r"\1"),  # `text <address>`_
    ("](", re.compile(r"!?\[([^\]\[]+)\]\([^()\s]*(?:\s[^()]*)?\)"), r"\1"),  # [text](address)
    ("]_", re.compile(r"\s*\[[\w#*-]*\]_"), ""),  # [1]_
    ("<", re.compile(r"</?[a-z][\w-]*(?:\s[^<>]*)?/?>"), ""),  # HTML tags
    ("`", re.compile(r"`{1,3}([^`]*)`{1,3}_{0,2}"), r"\1"),
    ("*", re.compile(r"(?<![\w*])(\*{1,2})(?=\S)([^*]+?)(?<=\S)\1(?![\w*])"), r"\2"),
    ("|", re.compile(r"(?<![\w|])\|([\w-][\w \-]*)\|(?![\w|])"), r"\1"),
    ("\\", re.compile(r"\\([*_`|])"), r"\1"),
    (" ", re.compile(r" ([.,;:!?)])(?=\s|$)"), r"\1"),
)

# The forms of sentences.
_ADDRESS = re.compile(r"\w+://|www\.|\w@\w")
_SYMBOL = re.compile(r"""[^\w\s.,;:!?'"()\-/%’“”–—]|[_\d]""")
_PLAIN_WORD = re.compile(
    r"""["'(]*(?:[A-Za-z]?[a-z]+(?:['’-][A-Za-z]?[a-z]+)*|[AI]|[A-Z]{2,6}s?)["')]*[.,;:!?]*["')]*"""
)
_CLOSED = re.compile(r"""[.!?:;]["'’”)]*$""")
_MAX_SYMBOL_SHARE = 0.08
_MIN_PLAIN_WORD_SHARE = 0.7
_MIN_WORDS = 4
_MIN_WORDS_WITHOUT_FULL_STOP = 6


def paragraphs(docstring: str) -> list[list[str]]:
    """Return the paragraphs of prose in a docstring, each as a list of sentences.

    The description of an argument and the item of a list are paragraphs of their own.

    >>> paragraphs('''Adds two numbers together.
    ...
    ... Args:
    ...     x (int): The first of the *two* numbers.
    ...
    ... >>> add(1, 2)
    ... 3
    ... ''')
    [['Adds two numbers together.'], ['The first of the two numbers.']]
    """
    split = (sentences(_without_markup(" ".join(block))) for block in _text_blocks(docstring))
    return [paragraph for paragraph in split if paragraph]


def sentences(text: str) -> list[str]:
    """Return those sentences of an English paragraph that read like prose."""
    return [sentence for sentence in split_sentences(text) if _is_prose(sentence)]


def _without_markup(text: str) -> str:
    text = " ".join(text.split())
    for sign, pattern, replacement in _MARKUP:
        if sign in text:
            text = pattern.sub(replacement, text)
    return text.strip()


def _is_prose(sentence: str) -> bool:
    words = sentence.split()
    closed = bool(_CLOSED.search(sentence))
    if len(words) < (_MIN_WORDS if closed else _MIN_WORDS_WITHOUT_FULL_STOP) or _ADDRESS.search(sentence):
        return False
    if len(_SYMBOL.findall(sentence)) > _MAX_SYMBOL_SHARE * len(sentence):
        return False
    plain = sum(bool(_PLAIN_WORD.fullmatch(word)) for word in words)
    return plain >= _MIN_PLAIN_WORD_SHARE * len(words)


def _text_blocks(docstring: str) -> list[list[str]]:
    """Return the lines of each paragraph, without indentation and without lines of markup."""
    lines = inspect.cleandoc(docstring).split("\n")
    blocks: list[list[str]] = [[]]  # lines are added to the last block; an empty block is started to close it
    block_indent = 0
    may_be_term = False
    fenced = skipping_to_blank = skipping_section = False
    skip_deeper_than: int | None = None  # deeper lines are the body of a directive, or a literal block
    for line, following in itertools.zip_longest(lines, lines[1:], fillvalue=""):
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if _FENCE.match(line):
            blocks.append([])
            fenced ^= text.count("```") % 2 == 1 or text.startswith("~~~")
            continue
        if fenced:
            continue
        if not text:
            if blocks[-1] and blocks[-1][-1].endswith("::"):
                blocks[-1][-1] = blocks[-1][-1][:-1]
                skip_deeper_than = block_indent
            blocks.append([])
            skipping_to_blank = False
            continue
        if skipping_to_blank or (skip_deeper_than is not None and indent > skip_deeper_than) or _UNDERLINE.match(line):
            continue
        skip_deeper_than = None
        if _UNDERLINE.match(following):  # this line is a title
            blocks.append([])
            skipping_section = text.lower().strip(" :") in _SKIPPED_SECTIONS
            continue
        if skipping_section:
            continue

        kind, text = _classify(text)
        if kind is not _LINE or indent < block_indent:
            blocks.append([])
        elif indent > block_indent and len(blocks[-1]) == 1 and may_be_term and _is_term(blocks[-1][0]):
            blocks[-1] = []  # a definition list: the term is dropped, its definition stays
        skipping_to_blank = kind is _SKIP_TO_BLANK
        if kind is _SKIP_DEEPER:
            skip_deeper_than = indent
        if text:
            if not blocks[-1]:
                block_indent = indent
                may_be_term = kind is _LINE
            blocks[-1].append(text)
    return [block for block in blocks if block]


# The kinds of lines: one that continues a paragraph, one that starts a paragraph, and two that start what is skipped.
_LINE, _STARTS, _SKIP_TO_BLANK, _SKIP_DEEPER = range(4)


def _classify(text: str) -> tuple[int, str]:
    """Return the kind of a line, and the part of it that is text."""
    if _PROMPT.match(text):
        return _SKIP_TO_BLANK, ""
    directive = _DIRECTIVE.match(text) if text.startswith("..") else None
    if directive:
        name, rest = directive.groups()
        if name in _PROSE_DIRECTIVES:
            return _STARTS, "" if name == "deprecated" else rest
        return _SKIP_DEEPER, ""
    if text[0] in "|+=-#" and (text[0] == "#" or _TABLE.match(text)):
        return _STARTS, ""
    if len(text) < _MAX_SECTION_TITLE and _SECTION.match(text):
        return _STARTS, ""
    field = _FIELD.match(text) if text[0] in ":@" else None
    if field:
        return (_STARTS, field[2] or "") if field[1] in _PROSE_FIELDS else (_SKIP_DEEPER, "")
    bullet = _BULLET.match(text)
    if bullet:
        text = text[bullet.end() :]
    if ":" in text:
        if _NUMPY_ITEM.match(text):
            return _STARTS, ""
        item = _GOOGLE_ITEM.match(text)
        if item and not text.endswith("::"):
            return _STARTS, item[1] or ""
    return (_STARTS if bullet else _LINE), text


def _is_term(text: str) -> bool:
    return len(text.split()) <= 4 and not _CLOSED.search(text)
