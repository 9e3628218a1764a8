"""Launches modules as processes, many for the price of one start of TensorFlow.

This file is the program: it imports what is slow, then forks for each command, before any operation has run. A command
is `[module, *arguments]`, and runs as `python -m module arguments` would.
"""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Result(NamedTuple):
    """What a process left: its exit code and its output."""

    returncode: int
    stdout: str
    stderr: str


def launch_many(commands: Sequence[Sequence[str]], folder: Path) -> list[Result]:
    """The results of `commands`, one after the other, each run in `folder`."""
    finished = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps([list(command) for command in commands]),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return [Result(*result) for result in json.loads(finished.stdout.splitlines()[-1])]


def run_module(module: str, arguments: list[str]) -> int:
    """The exit code of `python -m module arguments`, run in this process."""
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
            return 1
        return error.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _forked(command: list[str], number: int) -> tuple[int, str, str]:
    names = [f".launched-{number}-{stream}" for stream in ("stdout", "stderr")]
    child = os.fork()
    if not child:
        for descriptor, name in enumerate(names, 1):
            os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), descriptor)
        code = run_module(command[0], command[1:])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    _, status = os.waitpid(child, 0)
    texts = [Path(name).read_text(encoding="utf-8", errors="replace") for name in names]
    for name in names:
        os.remove(name)
    return os.waitstatus_to_exitcode(status), texts[0], texts[1]


if __name__ == "__main__":
    import keras  # noqa: F401
    import tensorflow  # noqa: F401

    print(json.dumps([_forked(command, number) for number, command in enumerate(json.load(sys.stdin))]))
