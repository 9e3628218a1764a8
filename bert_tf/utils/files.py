"""Reading and writing files, local or remote (`gs://`): the one place that touches a file system.

Everything goes through `tf.io.gfile`, imported on first use, so that a module that only names these functions
does not wait for TensorFlow. What is written appears whole or not at all: under a temporary name first, then
renamed. gfile's own exceptions (`tf.errors.OpError`) are no OSErrors, so each function here turns those of a
file system into the OSError that the builtin functions would raise.
"""

import fnmatch
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bert_tf.utils.decompression import decompressed

_CHUNK_BYTES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def _gfile() -> Any:
    import tensorflow as tf

    return tf.io.gfile


@contextmanager
def _os_errors(*paths: str) -> Iterator[None]:
    """Turns gfile's exceptions about one of `paths` into OSErrors that name the first."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        message = str(error.message or error)
        if not any(os.path.basename(path.rstrip("/")) in message for path in paths):
            raise  # a failure of another kind inside `written_whole`, such as a device that ran out of memory
        kinds = {tf.errors.NotFoundError: FileNotFoundError, tf.errors.PermissionDeniedError: PermissionError}
        raise kinds.get(type(error), OSError)(f"{paths[0]}: {message.rpartition('; ')[2]}") from None


def exists(path: str) -> bool:
    """Whether a file or folder stands at `path`.

    Raises:
        OSError: it cannot be told, for example for want of permission or in an unknown file system.
    """
    with _os_errors(path):
        return _gfile().exists(path)


def matching_files(patterns: str, flag: str) -> list[str]:
    """The files that comma-separated glob `patterns` match, sorted by name, each once.

    As in a shell, `*` and `?` do not match a leading dot or a `/`, and `**` as a whole part of the path stands
    for any number of folders. A name of an existing file is that file, whatever characters it holds.

    Args:
        patterns: globs, such as `docs/*.txt,more/**/*.txt`.
        flag: the flag or field they came from, for the message.

    Raises:
        FileNotFoundError: a pattern matches no file.
        OSError: the file system is unknown or refuses.
    """
    found: set[str] = set()
    for pattern in filter(None, (part.strip() for part in patterns.split(","))):
        with _os_errors(pattern, os.path.dirname(pattern)):
            files = _files_of(pattern)
            is_folder = not files and _gfile().isdir(pattern)
        if is_folder:
            raise FileNotFoundError(f"{flag} must name files, not a folder, such as {pattern}/*. Received: {pattern!r}")
        if not files:
            raise FileNotFoundError(f"{flag}: no file matches the pattern. Received: {pattern!r}")
        found.update(files)
    if not found:
        raise FileNotFoundError(f"{flag} must name at least one file. Received: {patterns!r}")
    return sorted(found)


def _files_of(pattern: str) -> list[str]:
    """The files that one pattern matches; gfile's own glob knows neither `**` nor what a leading dot means."""
    gfile = _gfile()
    if gfile.exists(pattern):
        return [] if gfile.isdir(pattern) else [pattern]
    parts = pattern.split("/")
    if "**" in parts:
        fixed = next(i for i, part in enumerate(parts) if any(sign in part for sign in "*?["))
        root = "/".join(parts[:fixed]) or ("/" if fixed else ".")
        found = [path if parts[0] == "." else path.removeprefix("./") for path in _walk(root)]
        return [path for path in found if _matches(path.split("/"), parts)]
    found = [path if parts[0] == "." else path.removeprefix("./") for path in gfile.glob(pattern)]
    return [path for path in found if not _hidden(path.split("/"), parts) and not gfile.isdir(path)]


def _hidden(names: list[str], parts: list[str]) -> bool:
    """Whether a name starts with a dot where the pattern does not."""
    return any(name.startswith(".") > part.startswith(".") for name, part in zip(names, parts, strict=False))


def _walk(root: str) -> Iterator[str]:
    """Every file below `root` that is not hidden, nor in a hidden folder."""
    for folder, subfolders, names in _gfile().walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        yield from (os.path.join(folder, name) for name in names if not name.startswith("."))


def _matches(names: list[str], parts: list[str]) -> bool:
    """Whether the parts of a path match those of a pattern, `**` standing for any number of them."""
    if not parts:
        return not names
    if parts[0] == "**":
        return any(_matches(names[start:], parts[1:]) for start in range(len(names)))
    return bool(names) and fnmatch.fnmatchcase(names[0], parts[0]) and _matches(names[1:], parts[1:])


def read_bytes(path: str) -> bytes:
    """The file's contents.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
    """
    with _os_errors(path):
        if not _gfile().exists(path) or _gfile().isdir(path):
            raise FileNotFoundError(f"no such file: {path!r}")
        with _gfile().GFile(path, "rb") as file:
            return file.read()


def read_text(path: str) -> str:
    """The file's text, a byte-order mark dropped.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not UTF-8; the message names file and byte.
    """
    data = read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # "utf-8-sig" counts from behind the mark.
        start = error.start + (len(_BYTE_ORDER_MARK) if data.startswith(_BYTE_ORDER_MARK) else 0)
        raise ValueError(
            f"{path}: not UTF-8 at byte {start} (0x{data[start]:02x}); convert it, for example with "
            f"`iconv -f latin1 -t utf-8`"
        ) from None


def iterate_lines(path: str) -> Iterator[str]:
    r"""The file's lines without their ends, one at a time (LF or CR LF; a byte-order mark is dropped).

    Names that end in `.gz`, `.bz2` or `.zst` are decompressed as they are read. Reads in large tokens: GFile's own
    line iterator is 20 times slower, and swallows every `\r`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not UTF-8 (the message names file and line), or compressed data are damaged or end too
            early (it names the file).
    """
    number = 1
    started: list[bytes] = []  # the tokens of the line that no read has ended yet
    for token in decompressed(_chunks(path), path):
        whole, newline, rest = token.rpartition(b"\n")
        if not newline:
            started.append(token)
            continue
        lines = b"".join([*started, whole])
        started = [rest]
        yield from _decoded_lines(path, lines, number)
        number += lines.count(b"\n") + 1
    last = b"".join(started)
    if last:
        yield from _decoded_lines(path, last, number)


def _chunks(path: str) -> Iterator[bytes]:
    """The file's bytes in large tokens."""
    with _os_errors(path):
        if not _gfile().exists(path) or _gfile().isdir(path):
            raise FileNotFoundError(f"no such file: {path!r}")
        file = _gfile().GFile(path, "rb")
    with file:
        while True:
            with _os_errors(path):
                chunk = file.read(_CHUNK_BYTES)
            if not chunk:
                return
            yield chunk


def _decoded_lines(path: str, data: bytes, first_number: int) -> list[str]:
    """The lines of `data`, which starts at line `first_number` and does not end in a line's end."""
    if first_number == 1:
        data = data.removeprefix(_BYTE_ORDER_MARK)
    try:
        return [line.rstrip("\r") for line in data.decode("utf-8").split("\n")]
    except UnicodeDecodeError as error:
        number = first_number + data.count(b"\n", 0, error.start)
        raise ValueError(
            f"{path}, line {number}: not UTF-8 (byte 0x{data[error.start]:02x}); convert the file, for "
            f"example with `iconv -f latin1 -t utf-8`"
        ) from None


@contextmanager
def written_whole(path: str) -> Iterator[str]:
    """A temporary name beside `path` to write to; renamed to `path` when the block ends, removed when it fails.

    On an object store a rename is a copy, and a copied object appears whole as well.

    Raises:
        OSError: `path` or its folder cannot be written; the message names it and the system's reason.
    """
    temporary = f"{path}.tmp-{uuid.uuid4().hex[:8]}"
    make_folder(os.path.dirname(path))
    with _os_errors(path, temporary):
        try:
            yield temporary
            _gfile().rename(temporary, path, overwrite=True)
        except BaseException:
            if _gfile().exists(temporary):
                _gfile().remove(temporary)
            raise


def write_text(path: str, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all.

    Raises:
        OSError: as `written_whole`.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str, contents: bytes) -> None:
    """Write `contents`, whole or not at all.

    Raises:
        OSError: as `written_whole`.
    """
    with written_whole(path) as temporary, _gfile().GFile(temporary, "wb") as file:
        file.write(contents)


def append_text(path: str, text: str) -> None:
    """Append `text` as UTF-8; a process that is killed meanwhile may leave a part of it.

    Raises:
        OSError: the file cannot be written; the message names it and the system's reason.
    """
    make_folder(os.path.dirname(path))
    with _os_errors(path), _gfile().GFile(path, "ab") as file:
        file.write(text.encode("utf-8"))


def remove(path: str) -> None:
    """Remove the file at `path`, where there is one.

    Raises:
        OSError: it cannot be removed.
    """
    with _os_errors(path):
        if _gfile().exists(path):
            _gfile().remove(path)


def names_in_folder(path: str) -> list[str]:
    """The names of the files in a folder, sorted; none where there is no such folder.

    Raises:
        OSError: the folder cannot be read.
    """
    with _os_errors(path):
        if not _gfile().isdir(path):
            return []
        # On object stores a folder's name ends in "/".
        return sorted(name for name in _gfile().listdir(path) if not name.endswith("/"))


def sha256(path: str) -> str:
    """The SHA-256 of the file's bytes, as hexadecimal digits; memory holds a token of the file.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with _os_errors(path), _gfile().GFile(path, "rb") as file:
        while token := file.read(_CHUNK_BYTES):
            digest.update(token)
    return digest.hexdigest()


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


def read_json_lines(path: str) -> list[Any]:
    """The JSON values of a file with one a line.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not JSON; the message names file and line.
    """
    values = []
    for number, line in enumerate(iterate_lines(path), 1):
        try:
            values.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}, column {error.colno}: not JSON ({error.msg})") from None
    return values


def iterate_json_objects(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON objects of a file with one a line, blank lines skipped, each behind its place, `FILE, line N`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is no JSON object; the message names file and line.
    """
    for number, line in enumerate(iterate_lines(path), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{place}, column {error.colno}: not JSON ({error.msg})") from None
        if not isinstance(value, dict):
            raise ValueError(f"{place}: must be a JSON object. Received: {line[:80]!r}")
        yield place, value


def write_json(path: str, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all; NumPy's numbers are written as numbers.

    Raises:
        OSError: as `written_whole`.
        TypeError: `value` holds something that JSON has no form for.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=_plain_number) + "\n")


def _plain_number(value: Any) -> Any:
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    raise TypeError(f"JSON has no form for {type(value).__name__}. Received: {value!r}")


def make_folder(path: str) -> None:
    """Make the folder and its parents, where they are missing.

    Raises:
        OSError: it cannot be made, for example because a file stands in its place.
    """
    # "ram:" is what `os.path.dirname` leaves of "ram://name": the top of a remote file system, always there.
    if path and not path.endswith(":"):
        with _os_errors(path, *path.split("/")):
            _gfile().makedirs(path)


def require_writable_folder(path: str, flag: str) -> None:
    """Make the folder, and show by writing a file that it can be written to.

    Raises:
        OSError: it cannot; the message names the flag, the path and the system's reason.
    """
    if not path:
        raise OSError(f"{flag} must name a folder. Received: {path!r}")
    probe = os.path.join(path, f".writable-{uuid.uuid4().hex[:8]}")
    try:
        make_folder(path)
        with _os_errors(path, probe):
            with _gfile().GFile(probe, "wb") as file:
                file.write(b"")
            _gfile().remove(probe)
    except OSError as error:
        raise OSError(f"{flag} must be a folder that can be written to ({error}). Received: {path!r}") from None
