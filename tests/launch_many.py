"""Launches modules and programs in processes of their own, all for the price of one start of TensorFlow.

A server of `multiprocessing` imports what is slow, once for the tests of a process, and forks for each process that it
is asked for, before any operation has run. A process that must find nothing imported is started by `subprocess`.
"""

import importlib
import multiprocessing
import os
import pkgutil
import runpy
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["keras", "tensorflow"])
_PACKAGES = ("bert_tf", "data_pipelines")


class Result(NamedTuple):
    """What a process left: its exit code and its output."""

    returncode: int
    stdout: str
    stderr: str


def launch_many(commands: Sequence[Sequence[str]], folder: Path) -> list[Result]:
    """The results of `commands`, one after the other, each run in `folder`.

    A command is `[module, *arguments]`, and runs as `python -m module arguments` would.
    """
    return in_warm_process(_launch_all, [list(command) for command in commands], folder=folder)


def launch_until_failure(steps: Sequence[Sequence[str] | str], folder: Path, timeout: float = 3600.0) -> list[Result]:
    """The results of `steps`, one after the other, each run in `folder`, up to the first that fails.

    A step is a command as above, or the text of a Python program.
    """
    return in_warm_process(_launch_until_failure, steps, folder=folder, timeout=timeout)


def run_program(program: str, *arguments: str, folder: Path, stdin: str = "", **environment: str) -> Result:
    """The result of `python -c program arguments`, run in `folder` with changes of the environment."""
    return in_warm_process(_run_program, program, arguments, stdin, environment, folder=folder)


def in_warm_process(function: Callable[..., Any], *arguments: Any, folder: Path, timeout: float = 600.0) -> Any:
    """Return what `function` returns in a warm process, with TensorFlow and Keras imported, which runs in `folder`."""
    receiver, sender = _SERVER.Pipe(duplex=False)
    process = _SERVER.Process(target=_answer, args=(sender, dict(os.environ), folder, function, arguments))
    process.start()
    sender.close()
    try:
        if not receiver.poll(timeout):
            os.killpg(process.pid, signal.SIGKILL)
            raise TimeoutError(f"{function.__name__} {arguments} took more than {timeout:.0f} s")
        return receiver.recv()  # EOFError: the process ended without an answer; its traceback is on standard error
    finally:
        process.join()


def _answer(
    sender: Any, environment: dict[str, str], folder: Path, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    os.setpgrp()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sender.send(function(*arguments))


def run_module(module: str, arguments: list[str]) -> int:
    """The exit code of `python -m module arguments`, run in this process."""
    sys.argv = [module, *arguments]
    return _exit_code(lambda: runpy.run_module(module, run_name="__main__", alter_sys=True))


def _exit_code(run: Callable[[], object]) -> int:
    try:
        run()
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
            return 1
        return error.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _launch_all(commands: list[list[str]]) -> list[Result]:
    if len(commands) > 1:
        _import_packages()
    return [_forked(lambda command=command: run_module(command[0], command[1:])) for command in commands]


def _launch_until_failure(steps: Sequence[Sequence[str] | str]) -> list[Result]:
    _import_packages()
    results = []
    for step in steps:
        if isinstance(step, str):
            results.append(_run_program(step, (), "", {}))
        else:
            results.append(_forked(lambda step=step: run_module(step[0], list(step[1:]))))
        if results[-1].returncode != 0:
            break
    return results


def _import_packages() -> None:
    """Import what launchers share: not the launchers, each of which runs as a program, nor JAX, which forbids forks."""
    for name in _PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if (module.ispkg or module.name.count(".") > 1) and "jax" not in module.name:
                importlib.import_module(module.name)


def _run_program(program: str, arguments: tuple[str, ...], stdin: str, environment: dict[str, str]) -> Result:
    def run() -> int:
        os.environ.update(environment)
        sys.argv = ["-c", *arguments]
        names = {"__name__": "__main__"}
        return _exit_code(lambda: exec(compile(program, "program", "exec"), names))

    return _forked(run, stdin)


def _forked(run: Callable[[], int], stdin: str = "") -> Result:
    """Fork a process that calls `run` and ends with its exit code, and return what it leaves."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        given.write(stdin.encode())
        given.seek(0)
        child = os.fork()
        if not child:
            for descriptor, file in enumerate((given, stdout, stderr)):
                os.dup2(file.fileno(), descriptor)
            sys.stdin = os.fdopen(0, encoding="utf-8")
            code = run()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        texts = []
        for file in (stdout, stderr):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return Result(os.waitstatus_to_exitcode(status), *texts)
