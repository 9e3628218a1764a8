"""The reading and writing of files, whose paths are local or URLs such as `gs://bucket/name`.

A file is written under a temporary name and then renamed, so that it appears whole or not at all. All failures are
OSErrors whose messages name the path and the system's reason.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from bert_tf.utils import json_text, text_lines
from bert_tf.utils.file_kinds import remedy_for
from bert_tf.utils.file_systems import file_system, os_errors

_CHUNK_BYTES = 1 << 20

Span = tuple[int, int | None]
"""The first byte of a part of a file, and the byte after its last; None for the end of the file."""

_WHOLE: Span = (0, None)


def exists(path: str) -> bool:
    """Return whether a file or folder exists.

    Raises:
        OSError: the file system is unknown or refuses to answer.
    """
    with os_errors(path):
        return file_system(path).exists(path)


def is_folder(path: str) -> bool:
    """Return whether a folder exists.

    Raises:
        OSError: the file system is unknown or refuses to answer.
    """
    with os_errors(path):
        return file_system(path).is_folder(path)


def size(path: str) -> int:
    """Return the size of a file in bytes.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the file system is unknown or refuses to answer.
    """
    with os_errors(path):
        return file_system(path).size(path)


@contextmanager
def open_to_read(path: str) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes within the block.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
    """
    with os_errors(path):
        if not file_system(path).exists(path) or file_system(path).is_folder(path):
            raise FileNotFoundError(f"no such file: {path!r}")
        with file_system(path).open(path, "rb") as file:
            yield file


@contextmanager
def open_to_write(path: str) -> Iterator[IO[bytes]]:
    """Open a file for writing bytes within the block. It appears when the block ends, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with written_whole(path) as temporary, file_system(path).open(temporary, "wb") as file:
        yield file


def read_bytes(path: str, span: Span = _WHOLE) -> bytes:
    """Return the file's contents, or those of a part of it.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
    """
    start, end = span
    with open_to_read(path) as file:
        if start:
            file.seek(start)
        return file.read() if end is None else file.read(end - start)


def read_text(path: str) -> str:
    """Return the file's text, without a byte-order mark.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not UTF-8; the message names file and byte.
    """
    data = read_bytes(path)
    remedy = remedy_for(data, path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # "utf-8-sig" counts from after the mark.
        start = error.start + (len(text_lines.BYTE_ORDER_MARK) if data.startswith(text_lines.BYTE_ORDER_MARK) else 0)
        raise ValueError(f"{path}: not UTF-8 at byte {start} (0x{data[start]:02x}); {remedy}") from None


def iterate_lines(path: str, skipped: list[int] | None = None, span: Span = _WHOLE) -> Iterator[str]:
    r"""Iterate over the file's lines without their ends (LF or CR LF), and without a byte-order mark.

    Names that end in `.gz`, `.bz2` or `.zst` are decompressed as they are read. Reads are large: the line iterator of
    TensorFlow's GFile is 20 times slower, and drops every `\r`.

    Args:
        path: the file.
        skipped: receives the numbers of the lines that are not UTF-8, which are left out. None makes them an error.
        span: the part of the file to read, of whole lines. Lines are numbered from its start.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not UTF-8, compressed data are damaged or end too early, or the file is no text. The
            message names file and line.
    """
    if skipped is None:
        yield from _lines(path, None, span)
        return
    bad: set[int] = set()
    yield from (line for number, line in enumerate(_lines(path, bad, span), 1) if number not in bad)
    skipped += sorted(bad)


def _lines(path: str, bad: set[int] | None, span: Span) -> Iterator[str]:
    return text_lines.lines_of(chunks(path, span), path, bad, from_start=not span[0])


def chunks(path: str, span: Span = _WHOLE) -> Iterator[bytes]:
    """Iterate over the bytes of a file, or of a part of it, in chunks of at most 1 MiB.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
    """
    position, end = span
    with open_to_read(path) as file:
        if position:
            file.seek(position)
        while chunk := file.read(_CHUNK_BYTES if end is None else min(_CHUNK_BYTES, end - position)):
            position += len(chunk)
            yield chunk


@contextmanager
def written_whole(path: str) -> Iterator[str]:
    """Yield a temporary name to write to, which is renamed to `path` at the end, or removed if the block fails.

    On an object store a rename is a copy, and a copied object appears whole as well.

    Raises:
        OSError: `path` or its folder cannot be written; the message names it and the system's reason.
    """
    temporary = f"{path}.tmp-{uuid.uuid4().hex[:8]}"
    make_folder(os.path.dirname(path))
    system = file_system(path)
    with os_errors(path, temporary):
        try:
            yield temporary
            system.rename(temporary, path)
        except BaseException:
            if system.exists(temporary):
                system.remove(temporary)
            raise


def write_text(path: str, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str, contents: bytes) -> None:
    """Write `contents`, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with open_to_write(path) as file:
        file.write(contents)


def append_text(path: str, text: str) -> None:
    """Append `text` as UTF-8. A process that is killed meanwhile may leave a part of it.

    Raises:
        OSError: the file cannot be written.
    """
    make_folder(os.path.dirname(path))
    with os_errors(path), file_system(path).open(path, "ab") as file:
        file.write(text.encode("utf-8"))


def remove(path: str) -> None:
    """Remove the file at `path`, if it exists.

    Raises:
        OSError: it cannot be removed.
    """
    with os_errors(path):
        if file_system(path).exists(path):
            file_system(path).remove(path)


def remove_folder(path: str) -> None:
    """Remove the folder at `path` and all below it, if it exists.

    Raises:
        OSError: it cannot be removed.
    """
    with os_errors(path):
        if file_system(path).is_folder(path):
            file_system(path).remove_folder(path)


def rename(path: str, new_path: str) -> None:
    """Rename a file or a folder; a file of the new name is replaced.

    Raises:
        OSError: it cannot be renamed.
    """
    with os_errors(path, new_path):
        file_system(path).rename(path, new_path)


def copy_folder(source: str, target: str) -> None:
    """Copy the files of a folder and of all folders below it; either folder may be remote.

    Args:
        source: an existing folder.
        target: the folder to copy to, which is made if it is missing.

    Raises:
        OSError: a file cannot be read or written.
    """
    copier = file_system(source if "://" in source else target)  # a remote file system reads and writes local files too
    with os_errors(source):
        for folder, _, names in file_system(source).walk(source):
            inner = folder[len(source) :].strip("/")
            make_folder(os.path.join(target, inner))
            for name in names:
                copier.copy(os.path.join(folder, name), os.path.join(target, inner, name))


def names_in_folder(path: str) -> list[str]:
    """Return the names in a folder, sorted, on object stores without its folders; none if there is no such folder.

    Raises:
        OSError: the folder cannot be read.
    """
    with os_errors(path):
        if not file_system(path).is_folder(path):
            return []
        # On object stores a folder's name ends in "/".
        return sorted(name for name in file_system(path).names(path) if not name.endswith("/"))


def sha256(path: str) -> str:
    """Return the SHA-256 of the file's bytes as hexadecimal digits. The file is read in chunks of 1 MiB.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    for chunk in chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def make_folder(path: str) -> None:
    """Make the folder and its parents, where they are missing.

    Raises:
        OSError: it cannot be made, for example because a file of this name exists.
    """
    # "ram:" is what `os.path.dirname` leaves of "ram://name": the top of a remote file system, which always exists.
    if path and not path.endswith(":"):
        parts = path.split("/")
        with os_errors(path, *("/".join(parts[:count]) for count in range(1, len(parts)))):
            file_system(path).make_folder(path)


def require_writable_folder(folder: str) -> None:
    """Make the folder if it is missing, and write and remove a file there to show that it can be written to.

    Raises:
        OSError: it cannot; the message names the path and the system's reason.
    """
    if not folder:
        raise OSError(f"`folder` must name a folder. Received: {folder!r}")
    probe = os.path.join(folder, f".writable-{uuid.uuid4().hex[:8]}")
    try:
        make_folder(folder)
        with os_errors(folder, probe):
            file_system(folder).open(probe, "wb").close()
            file_system(folder).remove(probe)
    except OSError as error:
        raise OSError(f"`folder` must be a folder that can be written to ({error}). Received: {folder!r}") from None


def read_json(path: str) -> Any:
    """Return the file's JSON value.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON; the message names file, line and column.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})") from None


def read_json_lines(path: str) -> list[Any]:
    """Return the JSON values of a file that has one on each line.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not JSON; the message names file and line.
    """
    return [_json_of(line, f"{path}, line {number}") for number, line in enumerate(iterate_lines(path), 1)]


def iterate_json_objects(
    path: str, skipped: list[int] | None = None, span: Span = _WHOLE
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Iterate over the JSON objects of a file that has one on each line. Blank lines are skipped.

    Args:
        path: the file.
        skipped: as for `iterate_lines`.
        span: as for `iterate_lines`.

    Yields:
        The source of each object, `FILE, line N`, and the object.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is no JSON object; the message names file and line.
    """
    bad: set[int] | None = None if skipped is None else set()
    for number, line in enumerate(_lines(path, bad, span), 1):
        if not line.strip():
            if skipped is not None and bad and number in bad:
                skipped.append(number)
            continue
        source = f"{path}, line {number}"
        value = _json_of(line, source)
        if not isinstance(value, dict):
            raise ValueError(f"{source}: must be a JSON object. Received: {line[:80]!r}")
        yield source, value


def _json_of(line: str, source: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{source}, column {error.colno}: not JSON ({error.msg})") from None


def write_json(path: str, value: Any) -> None:
    """Write `value` as indented JSON (`json_text.dumps`), whole or not at all.

    Raises:
        OSError: it cannot be written.
        TypeError: `value` holds something that JSON has no form for.
    """
    write_text(path, json_text.dumps(value, indent=2) + "\n")
