"""The profile of some steps, in the form that TensorBoard's profiler shows."""

import abc
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from absl import logging


class StepProfile(abc.ABC):
    """A context in which the steps from `steps[0]` to `steps[1]` are profiled; each engine says how.

    Args:
        folder: the folder whose `plugins/profile/` gets the profile.
        steps: the numbers of updates at which the profile begins and ends; empty for no profile.
    """

    def __init__(self, folder: str, steps: Sequence[int]) -> None:
        self.folder = folder
        self._first, self._last = steps or (0, 0)
        self._is_running = False

    @abc.abstractmethod
    def begin(self) -> None:
        """Start to record."""

    @abc.abstractmethod
    def end(self) -> None:
        """Write what was recorded."""

    def at(self, step: int) -> None:
        """Begin or end the profile if this is due after `step` updates."""
        if not self._is_running and self._first <= step < self._last:
            self.begin()
            self._is_running = True
        elif self._is_running and step >= self._last:
            self._stop()

    def _stop(self) -> None:
        self.end()
        self._is_running = False
        logging.info("the profile is in %s", self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_running:
            self._stop()
