"""The handling of SIGTERM, by which clusters announce that they take a machine away."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

EXIT_CODE = 143
"""The exit code that a shell reports for a process that SIGTERM ended: 128 + 15."""


class Preempted(Exception):
    """The exception that ends a run which can be continued later. A launcher exits with `EXIT_CODE`."""


class TerminationNotice:
    """A context in which SIGTERM sets `received` instead of ending the process.

    Python runs signal handlers in its main thread, between two instructions. The notice therefore waits while the
    device runs a loop of steps. A context that another thread enters has no effect.

    Attributes:
        received: whether SIGTERM was received.
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
        """Let SIGTERM end the block, such as an evaluation, at any point.

        Raises:
            Preempted: SIGTERM was received, before or during the block.
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
