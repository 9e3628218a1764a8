"""The files that glob patterns match, local or remote."""

import fnmatch
import os
from collections.abc import Iterator

from bert_tf.utils.file_systems import file_system, os_errors


def matching_files(patterns: str) -> list[str]:
    """Return the files that comma-separated glob patterns match, sorted by name, each once.

    As in a shell, `*` and `?` do not match a leading dot or a `/`, and `**` as a whole part of the path
    matches any number of folders. The name of an existing file matches that file, whatever characters it holds. A part
    between commas that matches nothing is joined with the next ones, because a name may hold commas too.

    Args:
        patterns: globs, such as `docs/*.txt,more/**/*.txt`.

    Raises:
        FileNotFoundError: a pattern matches no file.
        OSError: the file system is unknown or refuses to answer.
    """
    found: set[str] = set()
    parts = patterns.split(",")
    start = 0
    while start < len(parts):
        pattern = parts[start].strip()
        start += 1
        if not pattern:
            continue
        with os_errors(pattern, os.path.dirname(pattern)):
            files = _files_of(pattern)
            is_folder = not files and file_system(pattern).is_folder(pattern)
        if not files:
            for end in range(start + 1, len(parts) + 1):
                joined = ",".join(parts[start - 1 : end]).strip()
                with os_errors(joined, os.path.dirname(joined)):
                    files = _files_of(joined)
                if files:
                    start = end
                    break
            is_folder = is_folder and not files
        if is_folder:
            raise FileNotFoundError(
                f"`patterns` must name files, not a folder, such as {pattern}/*. Received: {pattern!r}"
            )
        if not files:
            raise FileNotFoundError(f"`patterns`: no file matches the pattern. Received: {pattern!r}")
        found.update(files)
    if not found:
        raise FileNotFoundError(f"`patterns` must name at least one file. Received: {patterns!r}")
    return sorted(found)


def _files_of(pattern: str) -> list[str]:
    """Return the files that one pattern matches, since the globs of the file systems do not support `**`."""
    system = file_system(pattern)
    if system.exists(pattern):
        return [] if system.is_folder(pattern) else [pattern]
    parts = pattern.split("/")
    if "**" in parts:
        fixed = next(i for i, part in enumerate(parts) if any(sign in part for sign in "*?["))
        root = "/".join(parts[:fixed]) or ("/" if fixed else ".")
        found = [path if parts[0] == "." else path.removeprefix("./") for path in _walk(root)]
        return [path for path in found if _matches(path.split("/"), parts)]
    found = [path if parts[0] == "." else path.removeprefix("./") for path in system.glob(pattern)]
    return [path for path in found if not _hidden(path.split("/"), parts) and not system.is_folder(path)]


def _hidden(names: list[str], parts: list[str]) -> bool:
    """Return whether a name starts with a dot where the pattern does not."""
    return any(name.startswith(".") > part.startswith(".") for name, part in zip(names, parts, strict=False))


def _walk(root: str) -> Iterator[str]:
    """Iterate over the files below `root` that are neither hidden nor in a hidden folder."""
    for folder, subfolders, names in file_system(root).walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        yield from (os.path.join(folder, name) for name in names if not name.startswith("."))


def _matches(names: list[str], parts: list[str]) -> bool:
    """Return whether the parts of a path match those of a pattern, with `**` for any number of parts."""
    if not parts:
        return not names
    if parts[0] == "**":
        return any(_matches(names[start:], parts[1:]) for start in range(len(names)))
    return bool(names) and fnmatch.fnmatchcase(names[0], parts[0]) and _matches(names[1:], parts[1:])
