"""Launches one command again and again, and kills it each time, for the price of one start of TensorFlow.

`launch_many` has imported what is slow, and the process that it gives forks for each life of the command.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from launch_many import in_warm_process, run_module

_LONGEST_LIFE = 600.0


class Life(NamedTuple):
    """How one process ended: its exit code (negative: the signal that ended it) and its output."""

    returncode: int
    output: str


def killed_runs(
    command: Sequence[str], folder: Path, kills: int, signal_number: int = signal.SIGKILL, most_seconds: float = 0.5
) -> list[Life]:
    """Lives of `command` (module, *arguments) in `folder`: so many that were killed, and the last one's.

    Most are killed some time after they have written something to `run`, the time chosen evenly up to `most_seconds`;
    each fourth at any time from its start on.

    Args:
        command: `--model_dir=run` among its arguments.
        folder: where it runs.
        kills: how many signals are sent.
        signal_number: which.
        most_seconds: see above.
    """
    order = {"command": list(command), "kills": kills, "signal": int(signal_number), "most_seconds": most_seconds}
    return in_warm_process(_lives, order, folder=folder, timeout=900.0)


def _state_of(folder: Path) -> list[tuple[str, int, int]]:
    """What tells whether anything below `folder` has been written."""
    return sorted(
        (str(path), stat.st_mtime_ns, stat.st_size)
        for path in folder.glob("checkpoints/*/*")
        if (stat := _stat(path)) is not None
    )


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:  # removed meanwhile
        return None


def _start(command: list[str], output: Path) -> int:
    child = os.fork()
    if child:
        return child
    for descriptor in (1, 2):
        os.dup2(os.open(output, os.O_CREAT | os.O_WRONLY | os.O_APPEND), descriptor)
    if "--engine=jax" in command:  # Keras computes with TensorFlow in this process
        environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
        os.execve(sys.executable, [sys.executable, "-m", *command], environment)
    code = run_module(command[0], command[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _live(command: list[str], signal_number: int | None, wait_for_writing: bool, seconds: float) -> Life:
    """One process; a signal ends it after `seconds`, or it ends by itself."""
    output = Path(f".life-{os.getpid()}")
    before = _state_of(Path("run"))
    child = _start(command, output)
    started = time.monotonic()
    counted_from = None if wait_for_writing else started
    status = None
    while status is None and time.monotonic() - started < _LONGEST_LIFE:
        time.sleep(0.01)
        found, value = os.waitpid(child, os.WNOHANG)
        status = value if found else None
        if signal_number is None or status is not None:
            continue
        if counted_from is None and _state_of(Path("run")) != before:
            counted_from = time.monotonic()
        if counted_from is not None and time.monotonic() - counted_from >= seconds:
            os.kill(child, signal_number)
            signal_number = None
    if status is None:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    text = output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""
    output.unlink(missing_ok=True)
    return Life(os.waitstatus_to_exitcode(status), text)


def _lives(order: dict) -> list[Life]:
    times = random.Random(0)
    lives = []
    for number in range(order["kills"]):
        at_any_time = number % 4 == 3
        seconds = times.uniform(0.0, 3.0 if at_any_time else order["most_seconds"])
        lives.append(_live(order["command"], order["signal"], not at_any_time, seconds))
    return [*lives, _live(order["command"], None, False, 0.0)]
