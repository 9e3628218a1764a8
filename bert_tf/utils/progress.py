"""One progress bar for every long stage: rate, figures of the moment, time left."""

import sys
from collections.abc import Iterable
from typing import Any, TextIO

from tqdm import tqdm

_SECONDS_BETWEEN_DRAWINGS = 0.2
_SECONDS_BETWEEN_LINES = 10.0


class _LineByLine:
    """A text stream for tqdm that puts each drawing of the bar on a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        drawing = text.strip("\r\n ")
        if drawing:
            self._stream.write(drawing + "\n")

    def flush(self) -> None:
        self._stream.flush()


def progress_bar(
    items: Iterable[Any] | None = None,
    *,
    label: str,
    total: float | None = None,
    unit: str = "it",
    **options: Any,
) -> tqdm:
    """A bar on standard error: redrawn at a terminal, a line every ten seconds in a log file.

    Args:
        items: what is iterated over; None for a bar that the caller moves with `update`.
        label: the stage's name.
        total: how many units make the whole.
        unit: what is counted.
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
        "file": sys.stderr if at_terminal else _LineByLine(sys.stderr),
        "dynamic_ncols": at_terminal,
        "leave": True,
    }
    return tqdm(items, **(settings | options))
