"""The folders in a folder, whose path is local or a URL such as `gs://bucket/name`."""

import os

from bert_tf.utils.file_systems import file_system, os_errors


def subfolders(path: str) -> list[str]:
    """Return the names of the folders in a folder, sorted and without `/`; none if there is no such folder.

    Raises:
        OSError: the folder cannot be read.
    """
    with os_errors(path):
        system = file_system(path)
        if not system.is_folder(path):
            return []
        # Object stores mark folders by a "/" at the end of their names; other file systems must be asked.
        names = system.names(path)
        found = [name for name in names if name.endswith("/") or system.is_folder(os.path.join(path, name))]
        return sorted({name.rstrip("/") for name in found} - {""})


def is_empty(path: str) -> bool:
    """Return whether a folder holds neither files nor folders.

    Raises:
        OSError: there is no such folder, or it cannot be read.
    """
    with os_errors(path):
        return not any(name.rstrip("/") for name in file_system(path).names(path))
