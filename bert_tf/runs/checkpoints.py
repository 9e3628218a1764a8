"""Checkpoints: named tensors in TensorFlow's bundle format, complete only when their marker exists.

```
run_dir/checkpoints/step-00001000/  bundle.index  bundle.data-00000-of-00001  complete.json (written last)
```

The names are those of the weights (`models.weights.named_weights`), `MOMENT:WEIGHT` for the optimizer's moments, and
`step`. `tf.train.load_checkpoint(PATH + "/bundle")` reads them anywhere. The marker holds the step, the sizes of the
files, the time, and the state that the loop needs to continue (`progress`).
"""

import dataclasses
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from absl import logging

from bert_tf.utils import files
from bert_tf.utils.file_systems import file_errors
from bert_tf.utils.folder_contents import subfolders
from bert_tf.utils.tensor_bundles import Bundle, BundleError, write_bundle

_Read = TypeVar("_Read")
_FOLDER = re.compile(r"step-(\d{8,})")
_MARKER = "complete.json"
_DAMAGED_MARKER = "damaged.json"


class DamagedCheckpointError(ValueError):
    """The error that a complete checkpoint can no longer be read, or that its contents have changed."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint, with its folder and the number of updates before it."""

    path: str
    step: int

    @property
    def bundle(self) -> str:
        """The prefix of the checkpoint's files, as TensorFlow's readers take it."""
        return os.path.join(self.path, "bundle")

    def marker(self) -> dict[str, Any]:
        """Return the marker: `step`, the `bytes` of each file, `time` (seconds since 1970), and `progress` of the loop.

        Raises:
            DamagedCheckpointError: the marker has changed since it was written.
        """
        try:
            marker = files.read_json(os.path.join(self.path, _MARKER))
            if (marker["step"], type(marker["bytes"])) != (self.step, dict):
                raise ValueError(f"{_MARKER} must hold step {self.step} and the size of each file")
            return {"time": 0.0, "progress": {}} | marker
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DamagedCheckpointError(f"{self.path}: the checkpoint is damaged ({error})") from None


def _folder(run_dir: str) -> str:
    return os.path.join(run_dir, "checkpoints")


def _step_folders(run_dir: str) -> list[Checkpoint]:
    """Return all folders of checkpoints, complete or not, oldest first."""
    folder = _folder(run_dir)
    matches = [match for name in subfolders(folder) if (match := _FOLDER.fullmatch(name))]
    found = (Checkpoint(os.path.join(folder, match[0]), int(match[1])) for match in matches)
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def complete_checkpoints(run_dir: str) -> list[Checkpoint]:
    """Return the complete checkpoints of a run's folder, which are those with a marker, oldest first."""
    return [one for one in _step_folders(run_dir) if files.exists(os.path.join(one.path, _MARKER))]


def newest_checkpoint(run_dir: str) -> Checkpoint | None:
    """Return the complete checkpoint with the most steps, or None."""
    return next(iter(reversed(complete_checkpoints(run_dir))), None)


def remove_incomplete(run_dir: str) -> None:
    """Remove the files of interrupted writes. Only the job that writes to `run_dir` may call this, before it writes."""
    for one in _step_folders(run_dir):
        if not any(files.exists(os.path.join(one.path, name)) for name in (_MARKER, _DAMAGED_MARKER)):
            files.remove_folder(one.path)


def host_copy(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return copies of the values of `variables` (anything with `numpy()`) in the host's memory; arrays are kept."""
    return {
        name: variable if isinstance(variable, np.ndarray) else np.asarray(variable.numpy())
        for name, variable in variables.items()
    }


def save(run_dir: str, step: int, variables: Mapping[str, Any], *, keep: int) -> Checkpoint:
    """Write the values of `variables` as a checkpoint, and return when it is complete."""
    return write(run_dir, step, host_copy(variables), keep=keep)


def write(
    run_dir: str,
    step: int,
    tensors: Mapping[str, np.ndarray],
    *,
    keep: int,
    keep_every_hours: float = 0.0,
    progress: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Write `tensors` as the checkpoint of `step`, and remove the old ones that need not be kept.

    Args:
        run_dir: the run's folder.
        step: the number of updates made.
        tensors: the values by name.
        keep: the number of newest checkpoints that are kept.
        keep_every_hours: the hours between older checkpoints that are kept for good; 0 to keep none.
        progress: the other values, as JSON can hold them, that the loop needs to continue from here.

    Returns:
        The complete checkpoint.

    Raises:
        OSError: the checkpoint cannot be written, for example because the disk is full. Earlier checkpoints are kept,
            and nothing of this one is left.
    """
    checkpoint = Checkpoint(os.path.join(_folder(run_dir), f"step-{step:08d}"), step)
    with _cleaned_up(checkpoint):
        if files.exists(checkpoint.path):
            _remove(checkpoint)
        files.make_folder(checkpoint.path)
        write_bundle(checkpoint.bundle, tensors)
        marker = {
            "step": step,
            "bytes": _file_sizes(checkpoint),
            # The index holds a checksum of each tensor, so its own checksum covers them all.
            "index_sha256": files.sha256(f"{checkpoint.bundle}.index"),
            "time": time.time(),
            "progress": progress or {},
        }
        files.write_json(os.path.join(checkpoint.path, _MARKER), marker)
    for old in _superseded(complete_checkpoints(run_dir), keep, keep_every_hours):
        try:
            _remove(old)
        except file_errors() as error:
            logging.warning("%s: this checkpoint is no longer needed, but cannot be removed (%s)", old.path, error)
    return checkpoint


@contextmanager
def _cleaned_up(checkpoint: Checkpoint) -> Iterator[None]:
    """Remove the checkpoint if the block fails, and raise errors of the file system as OSErrors."""
    try:
        yield
    except BaseException as error:
        try:
            _remove(checkpoint)
        except file_errors():
            logging.warning("%s: the files of this incomplete checkpoint cannot be removed", checkpoint.path)
        if not isinstance(error, file_errors()):
            raise
        reason = getattr(error, "message", None) or str(error)
        raise OSError(
            f"{checkpoint.path}: the checkpoint of step {checkpoint.step} cannot be written ({reason}); those before "
            f"it are kept"
        ) from None


def _file_sizes(checkpoint: Checkpoint) -> dict[str, int]:
    """Return the size in bytes of each file but the marker."""
    return {
        name: files.size(os.path.join(checkpoint.path, name))
        for name in files.names_in_folder(checkpoint.path)
        if name not in (_MARKER, _DAMAGED_MARKER)
    }


def _remove(checkpoint: Checkpoint) -> None:
    # The marker is removed first, so that an interrupted removal leaves no checkpoint that looks complete.
    files.remove(os.path.join(checkpoint.path, _MARKER))
    files.remove_folder(checkpoint.path)


def _superseded(complete: list[Checkpoint], keep: int, keep_every_hours: float) -> list[Checkpoint]:
    """Return those of the `complete` checkpoints, oldest first, that are no longer needed."""
    removed = []
    last_kept = -np.inf
    for one in complete[:-keep]:
        if keep_every_hours:
            try:
                written = one.marker()["time"]
            except DamagedCheckpointError:
                written = -np.inf
            if written - last_kept >= 3600 * keep_every_hours:
                last_kept = written
                continue
        removed.append(one)
    return removed


def _reader(checkpoint: Checkpoint) -> Bundle:
    marker = checkpoint.marker()
    sizes, expected = _file_sizes(checkpoint), marker["bytes"]
    for name in expected:
        if sizes.get(name) != expected[name]:
            raise DamagedCheckpointError(
                f"{checkpoint.path}: the checkpoint is damaged ({name} must have {expected[name]} bytes, and "
                f"{'has ' + str(sizes[name]) if name in sizes else 'is missing'})"
            )
    index = f"{checkpoint.bundle}.index"
    if "index_sha256" in marker and files.sha256(index) != marker["index_sha256"]:
        raise DamagedCheckpointError(f"{checkpoint.path}: the checkpoint is damaged ({index} has changed)")
    try:
        return Bundle(checkpoint.bundle)
    except BundleError as error:
        raise DamagedCheckpointError(f"{checkpoint.path}: the checkpoint is damaged ({error})") from None


def _tensor(checkpoint: Checkpoint, reader: Bundle, name: str) -> np.ndarray:
    try:
        return reader.read(name)
    except BundleError as error:
        raise DamagedCheckpointError(
            f"{checkpoint.path}: the checkpoint is damaged (the tensor {name!r} cannot be read: {error})"
        ) from None


def read_tensors(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """Return all tensors of a checkpoint by name, after checking their checksums.

    Raises:
        DamagedCheckpointError: a tensor cannot be read or has changed.
    """
    reader = _reader(checkpoint)
    return {name: _tensor(checkpoint, reader, name) for name in reader.shapes()}


def tensor_names(checkpoint: Checkpoint) -> set[str]:
    """Return the names of a checkpoint's tensors.

    Raises:
        DamagedCheckpointError: the checkpoint cannot be read.
    """
    return set(_reader(checkpoint).shapes())


def restore(checkpoint: Checkpoint, variables: Mapping[str, Any], allow_missing: str | None = None) -> list[str]:
    """Assign the checkpoint's tensors to the `variables` of the same names. Tensors with other names are ignored.

    All names and shapes are checked before the first assignment. The checksum of each tensor is checked when the tensor
    is read.

    Args:
        checkpoint: the checkpoint to read.
        variables: the variables by name.
        allow_missing: a regular expression. Names that match it may be missing from the checkpoint, and their variables
            keep their values.

    Returns:
        The names that were missing.

    Raises:
        DamagedCheckpointError: the checkpoint cannot be read, or its contents have changed. Some variables may have
            been assigned.
        ValueError: a name is missing, or a shape differs. The message names the checkpoint and the tensor.
    """
    reader = _reader(checkpoint)
    shapes = reader.shapes()
    missing = [name for name in variables if name not in shapes]
    refused = [name for name in missing if not (allow_missing and re.search(allow_missing, name))]
    if refused:
        raise ValueError(
            f"{checkpoint.path}: the checkpoint has no tensor {refused[0]!r}"
            + (f" (nor {len(refused) - 1} others)" if len(refused) > 1 else "")
        )
    for name, variable in variables.items():
        if name in shapes and shapes[name] != tuple(variable.shape):
            raise ValueError(
                f"{checkpoint.path}: a checkpoint of another size: {name!r} has shape {shapes[name]} there, and "
                f"{tuple(variable.shape)} in this model"
            )
    for name, variable in variables.items():
        if name in shapes:
            variable.assign(_tensor(checkpoint, reader, name))
    return missing


def restore_newest(run_dir: str, variables: Mapping[str, Any], set_aside: bool = False) -> Checkpoint | None:
    """Restore the newest checkpoint that can be read. Arguments, result and errors are those of `read_newest`."""
    found = read_newest(run_dir, lambda checkpoint: restore(checkpoint, variables), set_aside)
    return found[0] if found is not None else None


def read_newest(
    run_dir: str, read: Callable[[Checkpoint], _Read], set_aside: bool = False
) -> tuple[Checkpoint, _Read] | None:
    """Return the newest checkpoint that can be read, and report damaged ones that are newer.

    Args:
        run_dir: the run's folder.
        read: a function that reads a checkpoint, or raises DamagedCheckpointError.
        set_aside: whether damaged checkpoints lose their marker, so that they are no longer complete. Only the job that
            writes to `run_dir` may do this.

    Returns:
        The checkpoint and the result of `read`, or None if there is no checkpoint.

    Raises:
        ValueError: no checkpoint can be read, or `read` raises it.
    """
    damaged = []
    for checkpoint in reversed(complete_checkpoints(run_dir)):
        try:
            found = read(checkpoint)
        except DamagedCheckpointError as error:
            damaged.append((checkpoint, str(error)))
            continue
        for bad, reason in damaged:
            logging.warning("%s. The checkpoint of step %d is used instead", reason, checkpoint.step)
            if set_aside:
                marker = os.path.join(bad.path, _MARKER)
                files.rename(marker, os.path.join(bad.path, _DAMAGED_MARKER))
        return checkpoint, found
    if damaged:
        raise ValueError(f"no checkpoint of {run_dir!r} can be read: {'; '.join(reason for _, reason in damaged)}")
    return None
