"""Reading and writing files, local or remote (`gs://`): the one place that touches a file system.

Everything goes through `tf.io.gfile`, imported on first use, so that a module that only names these functions
does not wait for TensorFlow. What is written appears whole or not at all: under a temporary name first, then
renamed.
"""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def _gfile() -> Any:
    import tensorflow as tf

    return tf.io.gfile


def exists(path: str) -> bool:
    """Whether a file or folder stands at `path`."""
    return _gfile().exists(path)


def matching_files(patterns: str, flag: str) -> list[str]:
    """The files that comma-separated glob `patterns` match, sorted by name, each once.

    Args:
        patterns: globs, such as `docs/*.txt,more/**.txt`.
        flag: the flag or field they came from, for the message.

    Raises:
        FileNotFoundError: a pattern matches no file.
    """
    found: set[str] = set()
    for pattern in filter(None, (part.strip() for part in patterns.split(","))):
        files = [path for path in _gfile().glob(pattern) if not _gfile().isdir(path)]
        if not files:
            raise FileNotFoundError(f"{flag}: no file matches the pattern. Received: {pattern!r}")
        found.update(files)
    if not found:
        raise FileNotFoundError(f"{flag} must name at least one file. Received: {patterns!r}")
    return sorted(found)


def read_text(path: str) -> str:
    """The file's text.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not UTF-8; the message names file and byte.
    """
    if not exists(path) or _gfile().isdir(path):
        raise FileNotFoundError(f"no such file: {path!r}")
    with _gfile().GFile(path, "rb") as file:
        data = file.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 at byte {error.start} (0x{data[error.start]:02x}); convert it, for example with "
            f"`iconv -f latin1 -t utf-8`"
        ) from None


def iterate_lines(path: str) -> Iterator[str]:
    """The file's lines without their ends, one at a time (LF or CR LF; a byte-order mark is dropped).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not UTF-8; the message names file and line.
    """
    if not exists(path) or _gfile().isdir(path):
        raise FileNotFoundError(f"no such file: {path!r}")
    with _gfile().GFile(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1 and line.startswith(b"\xef\xbb\xbf"):
                line = line[3:]
            try:
                yield line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path}, line {number}: not UTF-8 (byte 0x{line[error.start]:02x}); convert the file, for "
                    f"example with `iconv -f latin1 -t utf-8`"
                ) from None


@contextmanager
def written_whole(path: str) -> Iterator[str]:
    """A temporary name beside `path` to write to; renamed to `path` when the block ends, removed when it fails."""
    temporary = f"{path}.tmp-{uuid.uuid4().hex[:8]}"
    make_folder(os.path.dirname(path))
    try:
        yield temporary
        _gfile().rename(temporary, path, overwrite=True)
    except BaseException:
        if exists(temporary):
            _gfile().remove(temporary)
        raise


def write_text(path: str, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with written_whole(path) as temporary, _gfile().GFile(temporary, "wb") as file:
        file.write(text.encode("utf-8"))


def read_json(path: str) -> Any:
    """The file's JSON value.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON; the message names file, line and column.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})") from None


def write_json(path: str, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def make_folder(path: str) -> None:
    """Make the folder and its parents, where they are missing."""
    if path:
        _gfile().makedirs(path)


def require_writable_folder(path: str, flag: str) -> None:
    """Make the folder, and show by writing a file that it can be written to.

    Raises:
        OSError: it cannot; the message names the flag, the path and the system's reason.
    """
    probe = os.path.join(path, f".writable-{uuid.uuid4().hex[:8]}")
    try:
        make_folder(path)
        with _gfile().GFile(probe, "wb") as file:
            file.write(b"")
        _gfile().remove(probe)
    except Exception as error:
        reason = getattr(error, "message", str(error))
        raise OSError(f"{flag} must be a folder that can be written to ({reason}). Received: {path!r}") from None
