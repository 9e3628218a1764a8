"""One progress bar for every long stage: rate, figures of the moment, time left."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


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
    interval = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(
        items,
        desc=label,
        total=total,
        unit=unit,
        mininterval=interval,
        maxinterval=interval,
        leave=True,
        **options,
    )
