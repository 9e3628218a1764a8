"""The file systems under `bert_tf.utils.files`: Python's for local paths, TensorFlow's for URLs such as `gs://`.

TensorFlow is imported when the first URL is touched, so that work on local files neither needs it nor waits for it.
"""

import contextlib
import errno
import glob
import os
import shutil
import sys
from collections.abc import Iterator
from typing import IO, Any, Protocol

# The errors of a write that Python reports without the file's name.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class FileSystem(Protocol):
    """The operations that both kinds of file system have. They raise OSError or TensorFlow's `tf.errors.OpError`."""

    def exists(self, path: str) -> bool:
        """Return whether a file or folder exists."""

    def is_folder(self, path: str) -> bool:
        """Return whether a folder exists."""

    def size(self, path: str) -> int:
        """Return the size of a file in bytes."""

    def open(self, path: str, mode: str) -> IO[bytes]:
        """Open a file; `mode` is `rb`, `wb` or `ab`."""

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder. In object stores, names of folders end in `/`."""

    def glob(self, pattern: str) -> list[str]:
        """Return the paths that a pattern matches; `*`, `?` and `[...]` match within one part of the path."""

    def walk(self, folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
        """Iterate over a folder and all below it, as `os.walk` does, through symbolic links too.

        A link to a folder that leads to the link is left out, since it holds nothing new.
        """

    def make_folder(self, path: str) -> None:
        """Make a folder and its parents, where they are missing."""

    def rename(self, path: str, new_path: str) -> None:
        """Rename a file or folder; a file of the new name is replaced."""

    def copy(self, path: str, new_path: str) -> None:
        """Copy a file; a file of the new name is replaced."""

    def remove(self, path: str) -> None:
        """Remove a file."""

    def remove_folder(self, path: str) -> None:
        """Remove a folder and all below it."""


class _Local:
    """Python's own functions."""

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def is_folder(self, path: str) -> bool:
        return os.path.isdir(path)

    def size(self, path: str) -> int:
        return os.path.getsize(path)

    def open(self, path: str, mode: str) -> IO[bytes]:
        return open(path, mode)

    def names(self, folder: str) -> list[str]:
        return os.listdir(folder)

    def glob(self, pattern: str) -> list[str]:
        found = glob.glob(pattern)
        if not found:  # glob skips a folder that it may not read, which is an error and not an empty folder
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.scandir(os.path.dirname(pattern) or ".").close()
        return found

    def walk(self, folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
        above = {folder: _identity(folder)}  # of a folder that is to be walked: itself and those that lead to it
        for path, subfolders, names in os.walk(folder, followlinks=True, onerror=_raise_unless_missing):
            led_here = above.pop(path)
            for name in list(subfolders):
                subfolder = os.path.join(path, name)
                identity = _identity(subfolder)
                if identity <= led_here:
                    subfolders.remove(name)
                else:
                    above[subfolder] = led_here | identity
            yield path, subfolders, names

    def make_folder(self, path: str) -> None:
        os.makedirs(path, exist_ok=True)

    def rename(self, path: str, new_path: str) -> None:
        os.replace(path, new_path)

    def copy(self, path: str, new_path: str) -> None:
        shutil.copyfile(path, new_path)

    def remove(self, path: str) -> None:
        os.remove(path)

    def remove_folder(self, path: str) -> None:
        shutil.rmtree(path)


def _identity(folder: str) -> frozenset[tuple[int, int]]:
    """Return the numbers by which the system knows a folder, whatever link leads to it; none if it is missing."""
    try:
        status = os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    return frozenset([(status.st_dev, status.st_ino)])


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


class _Remote:
    """TensorFlow's `tf.io.gfile`, which reaches object stores."""

    def __init__(self, gfile: Any) -> None:
        self._gfile = gfile

    def exists(self, path: str) -> bool:
        return bool(self._gfile.exists(path))

    def is_folder(self, path: str) -> bool:
        return bool(self._gfile.isdir(path))

    def size(self, path: str) -> int:
        return int(self._gfile.stat(path).length)

    def open(self, path: str, mode: str) -> IO[bytes]:
        file = self._gfile.GFile(path, mode)
        if mode != "rb":
            file.write(b"")  # without a write there would be no file
        return file

    def names(self, folder: str) -> list[str]:
        return list(self._gfile.listdir(folder))

    def glob(self, pattern: str) -> list[str]:
        return list(self._gfile.glob(pattern))

    def walk(self, folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
        return self._gfile.walk(folder)

    def make_folder(self, path: str) -> None:
        self._gfile.makedirs(path)

    def rename(self, path: str, new_path: str) -> None:
        self._gfile.rename(path, new_path, overwrite=True)

    def copy(self, path: str, new_path: str) -> None:
        self._gfile.copy(path, new_path, overwrite=True)

    def remove(self, path: str) -> None:
        self._gfile.remove(path)

    def remove_folder(self, path: str) -> None:
        self._gfile.rmtree(path)


_LOCAL = _Local()


def file_system(path: str) -> FileSystem:
    """Return the file system of a path: TensorFlow's for a URL, else Python's.

    Raises:
        OSError: the path is a URL, and TensorFlow is not installed.
    """
    if "://" not in path:
        return _LOCAL
    try:
        import tensorflow as tf
    except ImportError:
        raise OSError(f"{path}: TensorFlow must be installed to reach files by URL") from None
    return _Remote(tf.io.gfile)


def file_errors() -> tuple[type[Exception], ...]:
    """Return the errors that file systems raise: OSError, and TensorFlow's, unless it is not loaded."""
    tf = sys.modules.get("tensorflow")  # a module that is not loaded raises nothing
    return (OSError,) if tf is None else (OSError, tf.errors.OpError)


@contextlib.contextmanager
def os_errors(*paths: str) -> Iterator[None]:
    """Within the block, turn errors about one of `paths` into OSErrors that name the first.

    TensorFlow's exceptions are not OSErrors, and a block that writes through TensorFlow may meet them at local paths
    too. Errors of another kind, such as a device that ran out of memory, pass unchanged.

    Args:
        *paths: the path that the user knows, and others that stand for it, such as temporary names.

    Raises:
        FileNotFoundError, PermissionError, OSError: with the message `PATH: the system's reason`.
    """
    try:
        yield
    except OSError as error:
        names = {os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)}
        if error.errno is None or not (names & set(paths) or (not names and error.errno in _FULL)):
            raise
        raise type(error)(f"{paths[0]}: {error.strerror}") from None
    except Exception as error:
        if not isinstance(error, file_errors()):
            raise
        message = str(getattr(error, "message", None) or error)
        if message and not any(os.path.basename(path.rstrip("/")) in message for path in paths):
            raise
        tf = sys.modules["tensorflow"]
        kinds = {tf.errors.NotFoundError: FileNotFoundError, tf.errors.PermissionDeniedError: PermissionError}
        reason = message.rpartition("; ")[2] or type(error).__name__
        raise kinds.get(type(error), OSError)(f"{paths[0]}: {reason}") from None
