"""Checkpoints: named tensors in TensorFlow's bundle format, complete only when their marker stands.

```
model_dir/checkpoints/step-00001000/  bundle.index  bundle.data-00000-of-00001  complete.json (written last)
```

Names are the weights' own (`models.weights.named_weights`), `MOMENT:WEIGHT` for what the optimizer keeps, and
`step`; `tf.train.load_checkpoint(PATH + "/bundle")` reads them anywhere.
"""

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf import files

_FOLDER = re.compile(r"step-(\d{8,})")
_MARKER = "complete.json"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: its folder and the number of updates that were made before it."""

    path: str
    step: int

    @property
    def bundle(self) -> str:
        """The prefix that TensorFlow's readers take."""
        return os.path.join(self.path, "bundle")


def _folder(model_dir: str) -> str:
    return os.path.join(model_dir, "checkpoints")


def complete_checkpoints(model_dir: str) -> list[Checkpoint]:
    """The complete checkpoints of a run's folder, oldest first; those without their marker do not count."""
    folder = _folder(model_dir)
    if not files.exists(folder):
        return []
    found = []
    for name in tf.io.gfile.listdir(folder):
        match = _FOLDER.fullmatch(name.rstrip("/"))
        path = os.path.join(folder, name.rstrip("/"))
        if match and files.exists(os.path.join(path, _MARKER)):
            found.append(Checkpoint(path, int(match[1])))
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def newest_checkpoint(model_dir: str) -> Checkpoint | None:
    """The complete checkpoint with the most steps, or None."""
    return next(iter(reversed(complete_checkpoints(model_dir))), None)


def save(model_dir: str, step: int, variables: Mapping[str, Any], keep: int) -> Checkpoint:
    """Write `variables` (anything with `numpy()`) as the checkpoint of `step`; keep the `keep` newest.

    Returns:
        The checkpoint, complete.
    """
    checkpoint = Checkpoint(os.path.join(_folder(model_dir), f"step-{step:08d}"), step)
    if files.exists(checkpoint.path):
        tf.io.gfile.rmtree(checkpoint.path)
    files.make_folder(checkpoint.path)
    tensors = {name: np.asarray(variable.numpy()) for name, variable in variables.items()}
    with tf.device("/cpu:0"):
        tf.raw_ops.SaveV2(
            prefix=checkpoint.bundle,
            tensor_names=list(tensors),
            shape_and_slices=[""] * len(tensors),
            tensors=list(tensors.values()),
        )
    sizes = {
        name: tf.io.gfile.stat(os.path.join(checkpoint.path, name)).length
        for name in sorted(tf.io.gfile.listdir(checkpoint.path))
    }
    files.write_json(os.path.join(checkpoint.path, _MARKER), {"step": step, "bytes": sizes})
    for old in complete_checkpoints(model_dir)[:-keep]:
        # The marker goes first: a removal that is interrupted leaves no checkpoint that looks complete.
        tf.io.gfile.remove(os.path.join(old.path, _MARKER))
        tf.io.gfile.rmtree(old.path)
    return checkpoint


def restore(checkpoint: Checkpoint, variables: Mapping[str, Any], allow_missing: str | None = None) -> list[str]:
    """Assign the checkpoint's tensors to `variables` of the same names; tensors with other names are left alone.

    All names and shapes are checked before the first assignment.

    Args:
        checkpoint: where to read.
        variables: name -> variable.
        allow_missing: names that match this regular expression may be missing from the checkpoint: their variables keep
            their values.

    Returns:
        The names that were missing.

    Raises:
        ValueError: a name is missing, a shape differs, or the data are damaged; the message names the checkpoint and
            the tensor.
    """
    try:
        reader = tf.train.load_checkpoint(checkpoint.bundle)
    except (tf.errors.OpError, ValueError) as error:
        raise ValueError(f"{checkpoint.path}: the checkpoint cannot be read ({error})") from None
    shapes = reader.get_variable_to_shape_map()
    missing = [name for name in variables if name not in shapes]
    refused = [name for name in missing if not (allow_missing and re.search(allow_missing, name))]
    if refused:
        raise ValueError(
            f"{checkpoint.path}: the checkpoint has no tensor {refused[0]!r}"
            + (f" (nor {len(refused) - 1} others)" if len(refused) > 1 else "")
        )
    for name, variable in variables.items():
        if name in shapes and tuple(shapes[name]) != tuple(variable.shape):
            raise ValueError(
                f"{checkpoint.path}: a checkpoint of another size: {name!r} has shape {tuple(shapes[name])} there, and "
                f"{tuple(variable.shape)} in this model"
            )
    for name, variable in variables.items():
        if name in shapes:
            try:
                tensor = reader.get_tensor(name)  # the bundle holds a checksum of each
            except (tf.errors.OpError, ValueError, IndexError, RuntimeError) as error:
                raise ValueError(f"{checkpoint.path}: the tensor {name!r} cannot be read ({error})") from None
            variable.assign(tensor)
    return missing


def require_newest(model_dir: str, flag: str) -> Checkpoint:
    """The newest complete checkpoint of a run's folder.

    Raises:
        FileNotFoundError: there is none.
    """
    checkpoint = newest_checkpoint(model_dir)
    if checkpoint is None:
        raise FileNotFoundError(f"{flag} must hold a complete checkpoint. Received: {model_dir!r}")
    return checkpoint
