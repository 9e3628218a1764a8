"""Folders of several files, local or remote: read as bytes, copied, written whole or not at all."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from bert_tf.utils import files
from bert_tf.utils.arguments import renamed


def read_bytes(path: str) -> bytes:
    """The file's bytes.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not files.exists(path):
        raise FileNotFoundError(f"no such file: {path!r}")
    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read()


def write_bytes(path: str, data: bytes) -> None:
    """Write a file, whole or not at all."""
    with files.written_whole(path) as temporary, tf.io.gfile.GFile(temporary, "wb") as file:
        file.write(data)


def has(folder: str, name: str) -> bool:
    """Whether the folder holds a file of this name."""
    return files.exists(os.path.join(folder, name))


def copy_folder(source: str, target: str) -> None:
    """Copy a folder's files, subfolders included, to a folder that is made."""
    for folder, _, names in tf.io.gfile.walk(source):
        inner = folder[len(source) :].strip("/")
        files.make_folder(os.path.join(target, inner))
        for name in names:
            tf.io.gfile.copy(os.path.join(folder, name), os.path.join(target, inner, name), overwrite=True)


@contextmanager
def local_copy(folder: str) -> Iterator[str]:
    """A local folder with the same files, for libraries that know no remote ones; `folder` itself if it is local."""
    if "://" not in folder:
        yield folder
        return
    with tempfile.TemporaryDirectory() as local:
        copy_folder(folder, local)
        yield local


@contextmanager
def folder_written_whole(folder: str) -> Iterator[str]:
    """A temporary folder beside `folder` to write to; takes its name when the block ends, removed when it fails.

    Raises:
        OSError: `folder` exists and holds something, or cannot be written.
    """
    folder = folder.rstrip("/")
    if not folder:
        raise OSError(f"`output_dir` must name a folder. Received: {folder!r}")
    if files.exists(folder):
        if not files.is_folder(folder) or files.names_in_folder(folder):
            raise FileExistsError(f"`output_dir` must be a new or an empty folder. Received: {folder!r}")
        files.remove_folder(folder)
    temporary = f"{folder}.tmp-{uuid.uuid4().hex[:8]}"
    with renamed(folder="output_dir"):
        files.require_writable_folder(temporary)
    try:
        yield temporary
        tf.io.gfile.rename(temporary, folder)
    finally:
        if files.exists(temporary):
            tf.io.gfile.rmtree(temporary)
