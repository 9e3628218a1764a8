"""The progress bar of every long stage, with rate, time left and a line of metrics."""

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from tqdm import tqdm

_SECONDS_BETWEEN_DRAWINGS = 0.2
_SECONDS_BETWEEN_LINES = 10.0


class _LineByLine:
    """A text stream for tqdm that writes each update of the bar on a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        drawing = text.strip("\r\n ")
        if drawing:
            self._stream.write(drawing + "\n")

    def flush(self) -> None:
        self._stream.flush()


class ProgressBar(tqdm):
    """A bar whose rate, from which the time left follows, is the average since its clock started."""

    def __init__(self, *arguments: Any, at_terminal: bool, clock: Callable[[], float], **options: Any) -> None:
        self._at_terminal = at_terminal
        self._clock = clock
        super().__init__(*arguments, **options)
        self._time = clock
        self.start_t = self.last_print_t = clock()

    def skip(self, units: float) -> None:
        """Count units whose time is not typical, such as steps that waited for a compilation.

        The clock starts again after them.
        """
        self.initial = self.n + units
        self.start_t = self._clock()
        self.update(units)

    def show(self, text: str) -> None:
        """Show `text` beside the bar, at once at a terminal, and with the next line in a log file."""
        self.set_postfix_str(text, refresh=self._at_terminal)


def progress_bar(
    items: Iterable[Any] | None = None,
    *,
    label: str,
    total: float | None = None,
    unit: str = "it",
    clock: Callable[[], float] = time.time,
    **options: Any,
) -> ProgressBar:
    """Return a bar on standard error, which is redrawn at a terminal, and adds a line every ten seconds to a log file.

    Args:
        items: the items to iterate over; None for a bar that the caller moves with `update`.
        label: the stage's name.
        total: the number of units in the whole.
        unit: the name of a unit.
        clock: a function that returns the time in seconds.
        **options: passed to `tqdm`.
    """
    at_terminal = sys.stderr.isatty()
    interval = _SECONDS_BETWEEN_DRAWINGS if at_terminal else _SECONDS_BETWEEN_LINES
    settings: dict[str, Any] = {
        "desc": label,
        "total": total,
        "unit": unit,
        "mininterval": interval,
        "maxinterval": interval,
        "miniters": 1,
        "smoothing": 0,
        "file": sys.stderr if at_terminal else _LineByLine(sys.stderr),
        "dynamic_ncols": at_terminal,
        "leave": True,
    }
    return ProgressBar(items, at_terminal=at_terminal, clock=clock, **(settings | options))
