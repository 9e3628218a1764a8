"""The files of several tasks, given as `NAME=FILE,NAME=FILE`."""

import re
from collections.abc import Collection


def files_by_task(path: str, names: Collection[str], optional: Collection[str] = ()) -> dict[str, str]:
    """Return the file of each task, in the order of `names`.

    A comma within a file's name, as in `SOURCES,TARGETS` of sequence to sequence, belongs to it, because a new file
    begins with `NAME=`.

    >>> files_by_task("ner=train.conll,gen=a.txt,b.txt", ["gen", "ner"])
    {'gen': 'a.txt,b.txt', 'ner': 'train.conll'}

    Args:
        path: the files with their tasks.
        names: the names of all tasks.
        optional: those of them that need no file.

    Raises:
        ValueError: a name is unknown, missing or given twice, or a file has none.
    """
    form = f"`path` must be NAME=FILE for each of the tasks {', '.join(names)}, with commas between"
    found: dict[str, str] = {}
    last = None
    for piece in path.split(","):
        given = re.match(r"([A-Za-z][\w-]*)=", piece)
        if given is None:
            if last is None:
                raise ValueError(f"{form}. Received: {path!r}")
            found[last] += f",{piece}"
            continue
        last = given[1]
        if last not in names:
            raise ValueError(f"{form}. Received: the name {last!r} in {path!r}")
        if last in found:
            raise ValueError(f"{form}, each once. Received: two files for {last!r} in {path!r}")
        found[last] = piece[given.end() :]
    missing = [name for name in names if not found.get(name) and (name in found or name not in optional)]
    if missing:
        raise ValueError(f"{form}. Received: no file for {', '.join(missing)} in {path!r}")
    return {name: found[name] for name in names if name in found}
