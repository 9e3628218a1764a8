"""Folders of several files, local or remote, that are written whole or not at all."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from bert_tf.utils.folder_contents import is_empty


def has(folder: str, name: str) -> bool:
    """Return whether the folder holds a file named `name`."""
    return files.exists(os.path.join(folder, name))


@contextmanager
def local_copy(folder: str) -> Iterator[str]:
    """Yield a local copy of a folder, or `folder` itself if it is local, for libraries that read local files only."""
    if "://" not in folder:
        yield folder
        return
    with tempfile.TemporaryDirectory() as local:
        files.copy_folder(folder, local)
        yield local


@contextmanager
def folder_written_whole(folder: str) -> Iterator[str]:
    """Yield a temporary folder, which is renamed to `folder` when the block ends or removed when it fails.

    Raises:
        OSError: `folder` exists and holds something, or cannot be written.
    """
    folder = folder.rstrip("/")
    if not folder:
        raise OSError(f"`output_dir` must name a folder. Received: {folder!r}")
    if files.exists(folder):
        if not files.is_folder(folder) or not is_empty(folder):
            raise FileExistsError(f"`output_dir` must be a new or an empty folder. Received: {folder!r}")
        files.remove_folder(folder)
    temporary = f"{folder}.tmp-{uuid.uuid4().hex[:8]}"
    with renamed(folder="output_dir"):
        files.require_writable_folder(temporary)
    try:
        yield temporary
        files.rename(temporary, folder)
    finally:
        files.remove_folder(temporary)
