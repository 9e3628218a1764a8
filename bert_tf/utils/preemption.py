"""SIGTERM, by which clusters take machines away: noted when it comes, answered where nothing is lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

EXIT_CODE = 143
"""What a shell reports of a process that SIGTERM ended: 128 + 15."""


class Preempted(Exception):
    """The run was asked to stop, and can go on later from where it is; a launcher exits with `EXIT_CODE`."""


class TerminationNotice:
    """A context in which SIGTERM is noted instead of ending the process.

    Python runs signal handlers in its main thread, between two instructions: while the device runs a loop of steps, the
    notice waits. In another thread than the main one nothing is changed, and nothing noted.

    Attributes:
        received: whether SIGTERM has come.
    """

    def __init__(self) -> None:
        self.received = False
        self._raises = False
        self._before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """A block that may be left anywhere, such as an evaluation.

        Raises:
            Preempted: SIGTERM has come, or comes in the block.
        """
        self._raises = True
        try:
            if self.received:
                raise Preempted
            yield
        finally:
            self._raises = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        if self._raises:
            self._raises = False
            raise Preempted
