"""The reader of corpora: text files, JSON lines and data sets of TensorFlow Datasets (TFDS) become documents.

files and data sets -> raw documents -> (cleaning, splitting into sentences, in several processes) -> documents
"""

import collections
import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from absl import logging

from bert_tf.utils import files
from bert_tf.utils.decompression import compression_suffix
from bert_tf.utils.file_patterns import matching_files
from bert_tf.utils.processes import ordered_map
from data_pipelines.corpora.cleaning import clean_text
from data_pipelines.corpora.documents import in_groups, is_blank
from data_pipelines.corpora.file_parts import FilePart, is_json, span_of
from data_pipelines.corpora.sentences import split_sentences
from data_pipelines.corpora.tfds_texts import tfds_texts

TFDS_PREFIX = "tfds:"
"""The start of a pattern that names a TFDS data set."""

# The approximate number of characters that a process receives at a time.
_GROUP_CHARACTERS = 1 << 18
_BLANK_LINES = re.compile(r"\n\s*\n")
# Ends of lines other than LF and CR LF: CR, vertical tab, form feed and Unicode's separators of lines and paragraphs.
_OTHER_LINE_ENDS = re.compile("[\r\x0b\x0c\u2028\u2029]")
Item = TypeVar("Item")
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclasses.dataclass(frozen=True)
class ReadingOptions:
    """The options of `read_documents`.

    Attributes:
        sentences: `line` for text with one sentence on each line; `split` for raw text, which `sentencex` splits into
            sentences, by its rules for `language` or, for other languages, at the full stops of most scripts.
        language: ISO 639 code of the language whose abbreviations end no sentence.
        text_field: the field of JSON lines and TFDS examples that holds the text of a document.
        tfds_dir: the folder of TFDS data sets; None for TFDS's own default.
        tfds_split: the part of a TFDS data set to read.
        clean: whether Unicode is repaired, and control characters and HTML mark-up are dropped (`cleaning.clean_text`).
        min_document_length: the fewest characters, counted in all sentences, of a document that is kept.
        skip_unreadable: whether lines and texts that are not UTF-8, and JSON lines whose text is null or missing, are
            left out. A warning counts them for each source. Otherwise they are errors.

    Raises:
        ValueError: `sentences` is neither `line` nor `split`, or `min_document_length` is negative.
    """

    sentences: str = "line"
    language: str = "en"
    text_field: str = "text"
    tfds_dir: str | None = None
    tfds_split: str = "train"
    clean: bool = False
    min_document_length: int = 0
    skip_unreadable: bool = False

    def __post_init__(self) -> None:
        if self.sentences not in ("line", "split"):
            raise ValueError(f"`sentences` must be 'line' or 'split'. Received: {self.sentences!r}")
        if self.min_document_length < 0:
            raise ValueError(f"`min_document_length` must be at least 0. Received: {self.min_document_length}")


@dataclasses.dataclass(frozen=True)
class _RawDocument:
    """The stripped lines of a document, and whether sentences may run over its lines, as they do in text files."""

    lines: list[str]
    running: bool


def read_documents(
    patterns: str, options: ReadingOptions | None = None, *, num_workers: int = 1
) -> Iterator[list[str]]:
    """Yield the documents of a corpus in an order that is always the same. Memory does not grow with the corpus.

    There are three kinds of sources:

    - Text files. Blank lines (`documents.is_blank`), and the ends of files, separate documents. With
      `sentences="split"`, a sentence may run over several lines.
    - JSON lines: files that end in `.jsonl`, `.ndjson` or `.json`. Each line is an object whose `text_field` holds a
      document.
    - TFDS data sets, named `tfds:NAME`. Each example's `text_field` holds a document.

    CR, vertical tab, form feed, U+2028 and U+2029 end lines as LF does; U+2029 also leaves a blank line.

    Inside a `text_field`, a line break ends a sentence (`sentences="line"`) or a paragraph (`sentences="split"`), and
    blank lines are ignored. Files that end in `.gz`, `.bz2` or `.zst` are decompressed as they are read.

    Args:
        patterns: glob patterns of local or remote files, and data sets as `tfds:NAME`, separated by commas. Data sets
            are read after all files.
        options: the options of reading; None for the defaults.
        num_workers: the number of processes that clean and split; 0 for one a core. The documents are the same.

    Yields:
        Non-empty lists of non-empty sentences, without white space at their ends.

    Raises:
        FileNotFoundError: a pattern matches no file. It is raised before the first document.
        ValueError: a data set cannot be read (`tfds_texts`), which is raised before the first document; a file is
            damaged, is not UTF-8 or lacks the field (the message names the file and, where possible, the line); or
            the documents hold no sentence.
    """
    options = options or ReadingOptions()
    paths, names = matching_sources(patterns)
    # A data set that cannot be read raises its error now.
    texts = [_data_set(name, options) for name in names]
    raw = _raw_documents(map(FilePart, paths), texts, options, _warn_of_skipped)
    return not_empty(_processed(raw, options, num_workers), patterns, len(paths) + len(texts))


def matching_sources(patterns: str) -> tuple[list[str], list[str]]:
    """Return the files and the names of the TFDS data sets that `patterns` match, both in the order of reading.

    Args:
        patterns: as in `read_documents`.

    Raises:
        FileNotFoundError: a pattern matches no file.
    """
    parts = patterns.split(",")
    names = [part.strip() for part in parts if part.strip().startswith(TFDS_PREFIX)]
    globs = ",".join(part for part in parts if part.strip() not in names)
    paths = matching_files(globs) if globs or not names else []
    return paths, [name.removeprefix(TFDS_PREFIX) for name in names]


def read_sources(
    parts: Sequence[FilePart],
    data_sets: Sequence[str],
    options: ReadingOptions,
    on_skipped: Callable[[str, list[int]], None],
) -> Iterator[list[str]]:
    """Yield the documents of parts of files, then those of data sets, as `read_documents` does for all of a corpus.

    Args:
        parts: the parts of files.
        data_sets: the names of TFDS data sets.
        options: the options of reading.
        on_skipped: receives the name of each file with unreadable lines, and the numbers of these lines.

    Raises:
        ValueError: as `read_documents`, except that there may be no documents.
    """
    texts = [_data_set(name, options) for name in data_sets]
    return _processed(_raw_documents(parts, texts, options, on_skipped), options, num_workers=1)


def text_files(patterns: str) -> list[str] | None:
    """Return the files that `patterns` match, or None if their sizes are not the sizes of the texts.

    Args:
        patterns: as in `read_documents`.

    Returns:
        The paths, or None if a file is compressed or a pattern names a TFDS data set.

    Raises:
        FileNotFoundError: a pattern matches no file.
    """
    if any(part.strip().startswith(TFDS_PREFIX) for part in patterns.split(",")):
        return None
    paths = matching_files(patterns)
    return None if any(compression_suffix(path) for path in paths) else paths


def _data_set(name: str, options: ReadingOptions) -> Iterator[str]:
    return tfds_texts(
        name,
        text_field=options.text_field,
        tfds_split=options.tfds_split,
        tfds_dir=options.tfds_dir,
        skip_unreadable=options.skip_unreadable,
    )


def _raw_documents(
    parts: Iterable[FilePart],
    texts: Sequence[Iterator[str]],
    options: ReadingOptions,
    on_skipped: Callable[[str, list[int]], None],
) -> Iterator[_RawDocument]:
    for part in parts:
        skipped: list[int] | None = [] if options.skip_unreadable else None
        try:
            yield from _documents_of_part(part, options, skipped)
        except ValueError:
            if part.start:  # lines were counted from there: the error comes again, with the number of its line
                collections.deque(_documents_of_part(FilePart(part.path), options, skipped), maxlen=0)
            raise
        if skipped:
            on_skipped(part.path, skipped)
    for data_set in texts:
        for text in data_set:
            yield _RawDocument(_lines_with_text(text), running=False)


def _documents_of_part(part: FilePart, options: ReadingOptions, skipped: list[int] | None) -> Iterator[_RawDocument]:
    span = span_of(part)
    if is_json(part.path):
        for text in _json_texts(part.path, options.text_field, skipped, span):
            yield _RawDocument(_lines_with_text(text), running=False)
    else:
        for lines in _blocks(part.path, skipped, span):
            yield _RawDocument(lines, running=True)


def _warn_of_skipped(path: str, lines: Sequence[int]) -> None:
    logging.warning("%s: left out %d lines without readable text, first line %d", path, len(lines), lines[0])


def _json_texts(path: str, text_field: str, skipped: list[int] | None, span: files.Span) -> Iterator[str]:
    for source, value in files.iterate_json_objects(path, skipped, span):
        text = value.get(text_field)
        if text is None and skipped is not None:
            skipped.append(int(source.rpartition(" ")[2]))
            continue
        if text_field not in value:
            raise ValueError(
                f"{source}: `text_field` must name a field of every line, but this line has "
                f"{', '.join(sorted(value)) or 'no fields'}. Received: {text_field!r}"
            )
        if not isinstance(text, str):
            raise ValueError(f"{source}: the field {text_field!r} must be a string. Received: {str(text)[:80]}")
        # JSON can escape half of a surrogate pair. The tokenizer drops U+FFFD.
        yield text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _lines_with_text(text: str) -> list[str]:
    return [line for line in map(str.strip, _lines(text)) if not is_blank(line)]


def _lines(text: str) -> list[str]:
    r"""Return the lines of a text. Files come in lines without LF and CR LF, but may have other line ends."""
    if _OTHER_LINE_ENDS.search(text):
        text = _OTHER_LINE_ENDS.sub("\n", text.replace("\r\n", "\n").replace("\u2029", "\n\n"))
    return text.split("\n")


def _blocks(path: str, skipped: list[int] | None, span: files.Span) -> Iterator[list[str]]:
    """Yield the blocks of lines between blank lines."""
    lines: list[str] = []
    for read in files.iterate_lines(path, skipped, span):
        for line in map(str.strip, _lines(read)):
            if not is_blank(line):
                lines.append(line)
            elif lines:
                yield lines
                lines = []
    if lines:
        yield lines


def _processed(raw: Iterator[_RawDocument], options: ReadingOptions, num_workers: int) -> Iterator[list[str]]:
    """Yield the cleaned and split documents, the same ones for any number of workers."""
    if not options.clean and options.sentences == "line":
        num_workers = 1  # sending documents to other processes would take longer than the work
    process = functools.partial(_process_group, options=options)
    groups = in_groups(raw, lambda document: sum(map(len, document.lines)), _GROUP_CHARACTERS)
    for documents in ordered_map(process, groups, num_workers):
        yield from documents


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


def not_empty(documents: Iterable[Item], patterns: str, count: int) -> Iterator[Item]:
    """Yield the documents of a corpus, or what stands for them.

    Args:
        documents: the documents.
        patterns: the patterns that name the corpus.
        count: the number of its files and data sets.

    Raises:
        ValueError: there are no documents.
    """
    empty = True
    for document in documents:
        empty = False
        yield document
    if empty:
        raise ValueError(
            f"`patterns` must name files with at least one sentence. Received: {patterns!r}, with {count} file(s) that "
            "hold no sentence, or only documents that are too short or unreadable"
        )
