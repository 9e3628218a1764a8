"""The prose in the files of an unpacked package: HTML pages, plain text, reStructuredText, Markdown and docstrings."""

import ast
import gzip
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from data_pipelines.corpora import docstring_prose
from data_pipelines.corpora.cleaning import clean_text
from data_pipelines.corpora.documentation import docstrings
from data_pipelines.corpora.sentences import split_sentences

Paragraphs = list[list[str]]
"""The sentences of each paragraph."""

MAX_FILE_BYTES = 4_000_000
"""The size from which a file is an index or data, and is left out."""
_MIN_WORDS = 30
_MIN_IDEOGRAPHS = 60
_SUFFIXES = {".html": "html", ".htm": "html", ".txt": "text", ".rst": "text", ".md": "text", ".info": "text"}
_SUFFIXES |= {".py": "python", ".pod": "text", ".po": "messages"}
# Lists of names, changes, licences and translations hold little English prose, or repeat other files.
_SKIPPED = re.compile(
    r"(^|/)(genindex|search|py-modindex|changelog|copyright|news|authors|license|_modules|_static|tests?)\b", re.I
)
_LANGUAGES = (
    "ar|bg|ca|cs|da|de|el|es|et|fa|fi|fr|gl|he|hr|hu|id|it|ja|ko|lt|nb|nl|nn|no|pl|pt|ro|ru|sk|sl|sr|sv|th|tr|uk|vi|zh"
)
_TRANSLATED = re.compile(rf"[/._-]({_LANGUAGES})([_-][A-Za-z]{{2,4}})?(/|\.html|\.txt)", re.I)
_UNSEEN = re.compile(r"<(pre|script|style|nav|head|header|footer|table)\b.*?</\1\s*>", re.I | re.S)
_IDEOGRAPH = re.compile("[\u4e00-\u9fff]")
_MESSAGE = re.compile(r'^msgstr(?:\[0\])? ((?:"(?:[^"\\]|\\.)*"\n?)+)', re.M)


def text_files(folder: Path) -> list[Path]:
    """Return the files below `folder` that may hold prose, sorted by path."""
    return sorted(
        path
        for path in folder.rglob("*")
        if _kind(path)
        and path.is_file()
        and not path.is_symlink()
        and not _SKIPPED.search(str(path.relative_to(folder)))
        and path.stat().st_size <= MAX_FILE_BYTES
    )


def english(path: Path) -> Paragraphs:
    """Return the English prose of a file; no paragraph if there are fewer than 30 words.

    A translation, by its path, and a file that cannot be decompressed, decoded or parsed have none.
    """
    kind, text = ("", "") if _TRANSLATED.search(str(path)) else _read(path)
    if kind == "python":
        texts = _docstrings(text)
        found = [paragraph for doc in texts for paragraph in docstring_prose.paragraphs(doc)]
    elif kind == "html":
        found = [sentences for line in _html_lines(text) if (sentences := docstring_prose.sentences(line))]
    elif kind == "text":
        found = docstring_prose.paragraphs(clean_text(text))
    else:
        found = []
    return found if sum(len(sentence.split()) for paragraph in found for sentence in paragraph) >= _MIN_WORDS else []


def chinese(path: Path) -> Paragraphs:
    """Return the Chinese sentences of a file; no paragraph if there are fewer than 60 ideographs."""
    kind, text = _read(path)
    if kind == "html":
        lines = _html_lines(text)
    elif kind == "messages":
        lines = ["".join(re.findall(r'"((?:[^"\\]|\\.)*)"', match)) for match in _MESSAGE.findall(text)]
        lines = [re.sub(r"\\[a-z]|\\", " ", line) for line in lines]
    elif kind == "text":
        lines = [" ".join(part.split()) for part in re.split(r"\n\s*\n", clean_text(text))]
    else:
        lines = []
    found = []
    for line in lines:
        sentences = [sentence for sentence in split_sentences(line.strip(), "zh") if _is_chinese(sentence)]
        if sentences:
            found.append(sentences)
    count = sum(len(_IDEOGRAPH.findall(sentence)) for paragraph in found for sentence in paragraph)
    return found if count >= _MIN_IDEOGRAPHS else []


Extract = Callable[[Path], Paragraphs]


def _kind(path: Path) -> str:
    return _SUFFIXES.get(Path(path.stem if path.suffix == ".gz" else path.name).suffix, "")


def _read(path: Path) -> tuple[str, str]:
    try:
        data = path.read_bytes()
        return _kind(path), (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError):
        return "", ""


def _docstrings(source: str) -> Iterator[str]:
    try:
        yield from docstrings(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError):
        return


def _html_lines(page: str) -> list[str]:
    """Return the text of each block element, without code, tables and navigation."""
    text = clean_text(" ".join(_UNSEEN.sub("<p>", page).split()))
    return [line.strip() for line in text.split("\n") if line.strip()]


def _is_chinese(sentence: str) -> bool:
    return len(_IDEOGRAPH.findall(sentence)) >= max(4, 0.5 * len(sentence))
