"""Read and write corpora, and decide which documents are held out.

A document is a list of sentences. On disk: one sentence a line, a blank line between documents; the end of a file
ends a document. Or raw text, JSON lines, or a TensorFlow Datasets data set, see `read_documents`.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence

from bert_tf.utils import files
from bert_tf.utils.decompression import compression_suffix
from bert_tf.utils.file_patterns import matching_files
from bert_tf.utils.processes import ordered_map
from data_pipelines.corpora.cleaning import clean_text
from data_pipelines.corpora.sentences import split_sentences
from data_pipelines.corpora.tfds_texts import tfds_texts

TFDS_PREFIX = "tfds:"
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")

# About so many characters of documents go to a process at a time.
_GROUP_CHARACTERS = 1 << 18
_BLANK_LINES = re.compile(r"\n\s*\n")
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclasses.dataclass(frozen=True)
class ReadingOptions:
    """The options that say how documents are read.

    Attributes:
        sentences: `line`: one sentence a line. `split`: raw text, split into sentences (by `sentencex`, with its rules
            for `language` and a fallback that knows the full stops of most scripts).
        language: ISO 639 code of the language whose abbreviations end no sentence.
        text_field: of JSON lines and TFDS: the field with a document's text.
        tfds_dir: where TFDS data sets lie; None: TFDS's own default.
        tfds_split: which part of a TFDS data set to read.
        clean: repair Unicode, drop control characters and HTML mark-up (`cleaning.clean_text`).
        min_document_length: documents with fewer characters in their sentences are dropped.

    Raises:
        ValueError: `sentences` is neither, or `min_document_length` is negative.
    """

    sentences: str = "line"
    language: str = "en"
    text_field: str = "text"
    tfds_dir: str | None = None
    tfds_split: str = "train"
    clean: bool = False
    min_document_length: int = 0

    def __post_init__(self) -> None:
        if self.sentences not in ("line", "split"):
            raise ValueError(f"`sentences` must be 'line' or 'split'. Received: {self.sentences!r}")
        if self.min_document_length < 0:
            raise ValueError(f"`min_document_length` must be at least 0. Received: {self.min_document_length}")


@dataclasses.dataclass(frozen=True)
class _RawDocument:
    """The stripped lines of a document; `running` if the lines of a paragraph belong together, as in a text file."""

    lines: list[str]
    running: bool


def read_documents(
    patterns: str, options: ReadingOptions | None = None, *, num_workers: int = 1
) -> Iterator[list[str]]:
    """Yield the documents of a corpus one at a time, always in the same order; memory does not grow with the corpus.

    Files that end in `.gz`, `.bz2` or `.zst` are decompressed as they are read. What a file or data set holds:
    text: blank lines separate documents; with `sentences="split"` the other lines of a document belong together.
    JSON lines (`.jsonl`, `.ndjson` or `.json`, before a compression's suffix): each line is an object, and its
    `text_field` a document. `tfds:NAME`: each example is a document. In the texts of the last two, a line break ends a
    sentence (`line`) or a paragraph (`split`), and blank lines mean nothing.

    Args:
        patterns: comma-separated: globs, local or remote, and names of data sets as `tfds:NAME`, which come last.
        options: how they are read; None: the defaults.
        num_workers: processes that clean and split; 0: one a core. The documents are the same.

    Yields:
        Non-empty lists of non-empty sentences, without white space at their ends.

    Raises:
        FileNotFoundError: a pattern matches no file; raised before the first document.
        ValueError: a data set cannot be read (`tfds_texts`; raised before the first document); a file is not UTF-8, not
            JSON lines with the field, or is damaged (naming the file and, if known, the line); the documents hold
            no sentence at all (naming the patterns).
    """
    options = options or ReadingOptions()
    parts = [part.strip() for part in patterns.split(",")]
    data_sets = [part.removeprefix(TFDS_PREFIX) for part in parts if part.startswith(TFDS_PREFIX)]
    globs = ",".join(part for part in parts if not part.startswith(TFDS_PREFIX))
    paths = matching_files(globs) if globs or not data_sets else []
    texts = [tfds_texts(name, options.text_field, options.tfds_split, options.tfds_dir) for name in data_sets]
    raw = _raw_documents(paths, texts, options.text_field)
    return _not_empty(_processed(raw, options, num_workers), patterns, len(paths) + len(texts))


def text_files(patterns: str) -> list[str] | None:
    """Return the files of `patterns` if their sizes tell how much text there is; None with compressed files or TFDS."""
    if any(part.strip().startswith(TFDS_PREFIX) for part in patterns.split(",")):
        return None
    paths = matching_files(patterns)
    return None if any(compression_suffix(path) for path in paths) else paths


def _raw_documents(paths: Sequence[str], texts: Sequence[Iterator[str]], text_field: str) -> Iterator[_RawDocument]:
    for path in paths:
        if path.removesuffix(compression_suffix(path)).endswith(JSON_SUFFIXES):
            for text in _json_texts(path, text_field):
                yield _RawDocument(_lines_with_text(text), running=False)
        else:
            for lines in _blocks(path):
                yield _RawDocument(lines, running=True)
    for data_set in texts:
        for text in data_set:
            yield _RawDocument(_lines_with_text(text), running=False)


def _json_texts(path: str, text_field: str) -> Iterator[str]:
    for place, value in files.iterate_json_objects(path):
        if text_field not in value:
            raise ValueError(
                f"{place}: `text_field` must name a field of every line; this one has "
                f"{', '.join(sorted(value)) or 'none'}. Received: {text_field!r}"
            )
        text = value[text_field]
        if not isinstance(text, str):
            raise ValueError(f"{place}: the field {text_field!r} must be a string. Received: {str(text)[:80]}")
        # JSON can spell half of a character; the tokenizer drops U+FFFD.
        yield text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _lines_with_text(text: str) -> list[str]:
    return [line for line in map(str.strip, text.split("\n")) if line]


def _blocks(path: str) -> Iterator[list[str]]:
    """Yield the runs of lines that are not blank."""
    lines: list[str] = []
    for line in files.iterate_lines(path):
        line = line.strip()
        if line:
            lines.append(line)
        elif lines:
            yield lines
            lines = []
    if lines:
        yield lines


def _processed(raw: Iterator[_RawDocument], options: ReadingOptions, num_workers: int) -> Iterator[list[str]]:
    """Yield the cleaned and split documents. Order and result are the same for any number of workers."""
    if not options.clean and options.sentences == "line":
        num_workers = 1  # nothing to do that would pay for sending documents to another process
    process = functools.partial(_process_group, options=options)
    for documents in ordered_map(process, _groups(raw), num_workers):
        yield from documents


def _groups(raw: Iterator[_RawDocument]) -> Iterator[list[_RawDocument]]:
    group: list[_RawDocument] = []
    characters = 0
    for document in raw:
        group.append(document)
        characters += sum(map(len, document.lines))
        if characters >= _GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _process_group(group: list[_RawDocument], options: ReadingOptions) -> list[list[str]]:
    documents = (_sentences(document, options) for document in group)
    return [document for document in documents if document and sum(map(len, document)) >= options.min_document_length]


def _sentences(document: _RawDocument, options: ReadingOptions) -> list[str]:
    lines = document.lines
    paragraphs = [lines]
    if options.clean:
        text = clean_text("\n".join(lines))
        paragraphs = [_lines_with_text(paragraph) for paragraph in _BLANK_LINES.split(text)]
        lines = [line for paragraph in paragraphs for line in paragraph]
    if options.sentences == "line":
        return lines
    if document.running:
        lines = [" ".join(paragraph) for paragraph in paragraphs]
    return [sentence for line in lines for sentence in split_sentences(line, options.language)]


def _not_empty(documents: Iterator[list[str]], patterns: str, count: int) -> Iterator[list[str]]:
    empty = True
    for document in documents:
        empty = False
        yield document
    if empty:
        raise ValueError(
            f"`patterns` must name files with at least one sentence; {count} file(s) matched and hold none, or only "
            f"documents that are too short. Received: {patterns!r}"
        )
