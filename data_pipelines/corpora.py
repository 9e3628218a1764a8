"""Corpora: readers of documents, the held-out split, and writing a corpus as text.

A document is a list of sentences. On disk: one sentence a line, a blank line between documents; the end of a file
ends a document.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence

from bert_tf import files
from data_pipelines.documentation import ModuleDocumentation, python_documentation
from data_pipelines.sentences import split_sentences

__all__ = [
    "CorpusStatistics",
    "ModuleDocumentation",
    "is_held_out",
    "python_documentation",
    "read_documents",
    "write_documents",
]


def read_documents(patterns: str, flag: str = "--input", sentences: str = "line") -> Iterator[list[str]]:
    """The documents of text files, one at a time: memory holds one document.

    Args:
        patterns: comma-separated globs, local or remote.
        flag: the flag they came from, for messages.
        sentences: what a line is. `line`: one sentence. `split`: raw text, whose paragraphs are split into
            sentences (by `sentencex`, with its rules for English and a fallback that knows the full stops of most
            scripts); the lines of a paragraph belong together. Blank lines separate documents in both.

    Yields:
        Non-empty lists of non-empty sentences, without white space at their ends.

    Raises:
        FileNotFoundError: a pattern matches no file; raised before the first document.
        ValueError: `sentences` is neither, a file is not UTF-8 (naming file and line), or the files hold no
            sentence at all (naming flag and patterns).
    """
    if sentences not in ("line", "split"):
        raise ValueError(f"`sentences` must be 'line' or 'split'. Received: {sentences!r}")
    return _documents(files.matching_files(patterns, flag), patterns, flag, split=sentences == "split")


def _documents(paths: Sequence[str], patterns: str, flag: str, split: bool) -> Iterator[list[str]]:
    empty = True
    for path in paths:
        for lines in _blocks(path):
            document = split_sentences(" ".join(lines)) if split else lines
            if document:
                empty = False
                yield document
    if empty:
        raise ValueError(
            f"{flag} must name files with at least one sentence; {len(paths)} file(s) matched and hold none. "
            f"Received: {patterns!r}"
        )


def _blocks(path: str) -> Iterator[list[str]]:
    """Runs of lines that are not blank."""
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


def is_held_out(document: Sequence[str], fraction: float) -> bool:
    """Whether a document belongs to the held-out part of its corpus.

    Decided by a hash of the document's text alone: the same on every machine and in every run, whatever the other
    documents. What is held out at a fraction is held out at every larger one.

    Args:
        document: its sentences.
        fraction: the share to hold out, 0 (none) to 1 (all).
    """
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"`fraction` must be between 0 and 1. Received: {fraction!r}")
    digest = hashlib.sha256("\n".join(document).encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64


@dataclasses.dataclass(frozen=True)
class CorpusStatistics:
    """How much text a corpus holds. Megabytes are 10^6 bytes of UTF-8, as written; words are split at spaces."""

    documents: int
    sentences: int
    words: int
    megabytes: float

    def __str__(self) -> str:
        return (
            f"{self.documents:,} documents, {self.sentences:,} sentences, {self.words:,} words, {self.megabytes:.2f} MB"
        )


def write_documents(documents: Iterable[Sequence[str]], path: str) -> CorpusStatistics:
    """Write documents as `read_documents` reads them, whole or not at all.

    Raises:
        ValueError: there is no document, or a sentence is empty or holds a line break.
    """
    import tensorflow as tf  # here, for GFile: reading documents in a worker should not wait for TensorFlow

    count = sentences = words = size = 0
    with files.written_whole(path) as temporary, tf.io.gfile.GFile(temporary, "wb") as file:
        for document in documents:
            for sentence in document:
                if not sentence.strip() or "\n" in sentence or "\r" in sentence:
                    raise ValueError(f"{path}: a sentence must be one line with text. Received: {sentence!r}")
            data = ("\n" if count else "").encode() + "".join(f"{sentence}\n" for sentence in document).encode()
            file.write(data)
            count += 1
            sentences += len(document)
            words += sum(len(sentence.split()) for sentence in document)
            size += len(data)
        if not count:
            raise ValueError(f"{path}: there must be at least one document to write. Received: none")
    return CorpusStatistics(count, sentences, words, size / 1e6)
