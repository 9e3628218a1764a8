"""Parts of files, which several machines read at the same time.

A part is a range of a file's bytes. It has the documents that begin in the range, whole, so that the documents of all
parts of a file, one part after the other, are the documents of the file. A machine finds the borders of its own part,
and reads little more than the part.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bert_tf.utils import files
from bert_tf.utils.decompression import compression_suffix
from data_pipelines.corpora.documents import is_blank

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
"""The suffixes of files with a JSON object on each line."""

UNIT_BYTES = 64_000_000
"""The size of the parts of large files, and of the groups of small files, that a machine reads at a time."""


class FilePart(NamedTuple):
    """The bytes of a file from `start` up to `end`, or up to the end of the file if that is None."""

    path: str
    start: int = 0
    end: int | None = None


def is_json(path: str) -> bool:
    """Return whether a file has a JSON object on each line, by its name."""
    return path.removesuffix(compression_suffix(path)).endswith(JSON_SUFFIXES)


def grouped_parts(paths: Iterable[str]) -> Iterator[list[FilePart]]:
    """Yield the parts of files in the order of the files, in groups of about `UNIT_BYTES` of text.

    A compressed file is one part, because it is decompressed from its start.

    Raises:
        FileNotFoundError: a file is missing.
    """
    group: list[FilePart] = []
    size = 0
    for path in paths:
        length = files.size(path)
        starts = range(0, 1 if compression_suffix(path) else max(1, length), UNIT_BYTES)
        for start in starts:
            if group and size + min(length - start, UNIT_BYTES) > UNIT_BYTES:
                yield group
                group, size = [], 0
            group.append(FilePart(path, start, None if start == starts[-1] else start + UNIT_BYTES))
            size += length - start if start == starts[-1] else UNIT_BYTES
    if group:
        yield group


def span_of(part: FilePart) -> files.Span:
    """Return the bytes of the documents that begin in a part: of lines of JSON, or of text between blank lines.

    Raises:
        OSError: the file cannot be read.
    """
    end = None if part.end is None else _first_document(part.path, part.end)
    return _first_document(part.path, part.start), end


def _first_document(path: str, start: int) -> int:
    """Return the first byte at or after `start` where a document can begin, or the size of the file.

    In text, that is after the first blank line that begins at `start` or later, in JSON lines the begin of a line.
    """
    if not start:
        return 0
    position = start - 1  # if this byte ends a line, a line begins at `start`
    begun: list[bytes] | None = None  # what was read of a line that begins at `start` or later
    for chunk in files.chunks(path, (position, None)):
        for number, line in enumerate(chunk.split(b"\n")):
            if number:  # the line before has ended
                position += 1
                if is_json(path) or (begun is not None and _is_blank(b"".join(begun))):
                    return position
                begun = []
            if begun is not None:
                begun.append(line)
            position += len(line)
    return position


def _is_blank(line: bytes) -> bool:
    try:
        return is_blank(line.decode("utf-8"))
    except UnicodeDecodeError:
        return False  # it is an error, or it is left out and separates nothing
