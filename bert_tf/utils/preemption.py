"""The handling of SIGTERM, by which clusters announce that they take a machine away, and of Ctrl-C."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

EXIT_CODE = 143
"""The exit code that a shell reports for a process that SIGTERM ended: 128 + 15."""


_SECONDS_TO_RETRY = 0.01


class Preempted(Exception):
    """The exception that ends a run which can be continued later. A launcher exits with `EXIT_CODE`."""


class TerminationNotice:
    """A context in which SIGTERM and Ctrl-C set `received` instead of ending the process.

    A second Ctrl-C raises KeyboardInterrupt at once, as usual. So does the end of a context that took no notice of the
    first, so that what follows does not run. Ctrl-C is left alone where it does not raise KeyboardInterrupt.

    Python runs signal handlers in its main thread, between two instructions. The notice therefore waits while the
    device runs a loop of steps. A context that another thread enters has no effect.

    Attributes:
        received: whether one of the signals was received.
        interrupted: whether Ctrl-C was received.
    """

    def __init__(self) -> None:
        self.received = False
        self.interrupted = False
        self._raises = False
        self._before: dict[int, Any] = {}
        self._retry: threading.Timer | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._note)
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.interrupted and kind is None:
            raise KeyboardInterrupt

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let the signals end the block, such as an evaluation, at any point.

        Python drops what is raised in some functions, such as those of `gc.callbacks`. A `Preempted` that was dropped
        so is raised once more, a moment later.

        Raises:
            Preempted: a signal was received, before or during the block.
        """
        hook_before = sys.unraisablehook

        def take_note_of_dropped(unraisable: Any) -> None:
            if issubclass(unraisable.exc_type, Preempted):
                self._raise_later()
            else:
                hook_before(unraisable)

        if self._before:
            sys.unraisablehook = take_note_of_dropped
        try:
            self._raises = True
            try:
                if self.received:
                    raise Preempted
                yield
            finally:
                self._raises = False
        finally:
            if self._before:
                sys.unraisablehook = hook_before
            if self._retry is not None:
                self._retry.cancel()
                self._retry.join()

    def _raise_later(self) -> None:
        """Let the handler run again, outside of the function that dropped its exception."""
        self._raises = True
        thread = threading.get_ident()
        self._retry = threading.Timer(_SECONDS_TO_RETRY, signal.pthread_kill, [thread, signal.SIGTERM])
        self._retry.daemon = True
        self._retry.start()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True
            print("\nCtrl-C: saving a checkpoint, then stopping; once more stops at once", file=sys.stderr, flush=True)
        self.received = True
        if self._raises:
            self._raises = False
            raise Preempted
