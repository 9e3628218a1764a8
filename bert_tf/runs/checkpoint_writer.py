"""The writer of checkpoints while training goes on: values are copied at once, and a thread writes them."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from bert_tf.runs import checkpoints


class CheckpointWriter:
    """A writer of a run's checkpoints, one at a time, while training goes on.

    Args:
        run_dir: the run's folder, which only this job writes to.
        keep: the number of newest checkpoints that are kept.
        keep_every_hours: the hours between older checkpoints that are kept for good; 0 to keep none.

    Attributes:
        step: the step of the newest checkpoint that `save` took; None before the first.
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
        """Copy the values for the checkpoint of `step`, which a thread then writes, after waiting for the previous one.

        Raises:
            OSError: the previous checkpoint could not be written.
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
        """Raise the error of a failed write, if one is known, without waiting."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Wait until the newest checkpoint is complete.

        Raises:
            OSError: the checkpoint could not be written.
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
