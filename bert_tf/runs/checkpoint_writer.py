"""The writer of checkpoints beside training: values are copied at once, and a thread writes them."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from bert_tf.runs import checkpoints


class CheckpointWriter:
    """A writer of a run's checkpoints, one at a time, while training goes on; a context that waits for the last one.

    Args:
        run_dir: the run's folder, written to by this job alone.
        keep: how many of the newest are kept.
        keep_every_hours: of those older, one is kept for good each time so many hours have passed; 0 for none.

    Attributes:
        step: of the checkpoint that was last handed over; None before the first.
    """

    def __init__(self, run_dir: str, keep: int, keep_every_hours: float = 0.0) -> None:
        self.step: int | None = None
        self._run_dir = run_dir
        self._keep = keep
        self._keep_every_hours = keep_every_hours
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[checkpoints.Checkpoint] | None = None
        checkpoints.remove_incomplete(run_dir)

    def save(self, step: int, variables: Mapping[str, Any], progress: Mapping[str, Any] | None = None) -> None:
        """Hand over the checkpoint of `step`, once the one before it is complete; return when the values are copied.

        Raises:
            OSError: the one before it could not be written.
        """
        self.wait()
        values = checkpoints.host_copy(variables)
        self.step = step
        self._writing = self._thread.submit(
            checkpoints.write,
            self._run_dir,
            step,
            values,
            keep=self._keep,
            keep_every_hours=self._keep_every_hours,
            progress=progress,
        )

    def check(self) -> None:
        """Raise what went wrong in writing, if it is known yet; does not wait."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Return when what was handed over is complete.

        Raises:
            OSError: it could not be written.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
        if error is None:
            self.wait()
