"""The outputs of a teacher for encoded examples, which are computed once and kept in a file."""

import dataclasses
import hashlib
import io
import os
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from bert_tf.configs import TrainConfig
from bert_tf.conversion.loading import model_of
from bert_tf.conversion.pretrained import Pretrained
from bert_tf.tasks import MODEL_KINDS
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.training.engine import Engine
from bert_tf.utils import files, json_text

_INPUTS = ("input_ids", "segment_ids", "input_mask", "position_ids")


def teacher_outputs(
    teacher: Pretrained, rows: EncodedExamples, *, labels: Sequence[str], folder: str, engine: Engine, batch_size: int
) -> dict[str, np.ndarray]:
    """Return the outputs of a teacher for each row, computed in float32 without dropout, or read from `folder`.

    The file there appears whole or not at all. Its name is a digest of the teacher's weights and labels, of its
    vocabulary and of the rows, so that runs on the same examples find it, and others do not. A damaged file is
    replaced.

    Args:
        teacher: the teacher, with a head for its task.
        rows: N encoded examples.
        labels: the labels in the order of the student's classes; empty for a task without classes.
        folder: the folder to keep the outputs in.
        engine: the devices and processes.
        batch_size: the number of rows computed at a time.

    Returns:
        `teacher_outputs`, or `teacher_` before the name of each output, float32 [N, ...]. An axis of tokens is as long
        as the longest row. Classes are in the order of `labels`.

    Raises:
        OSError: the file cannot be written.
    """
    path = os.path.join(folder, f"{_digest(teacher, rows, labels)[:32]}.npz")
    found = _read(path, len(rows))
    everywhere = sum(engine.sum_over_processes([float(found is not None)])) == engine.num_processes
    if found is not None and everywhere:
        logging.info("The teacher's outputs are those of %s.", path)
        return found
    found = _compute(teacher, rows, labels, engine=engine, batch_size=batch_size)
    if engine.is_chief:
        with files.open_to_write(path) as file:
            file.write(_packed(found))
    return found


def _compute(
    teacher: Pretrained, rows: EncodedExamples, labels: Sequence[str], *, engine: Engine, batch_size: int
) -> dict[str, np.ndarray]:
    kind = MODEL_KINDS[teacher.task]
    # The engine makes the model where its variables belong.
    model = engine.make_state(lambda: model_of(teacher, teacher.task), TrainConfig(precision="float32")).model
    teacher.assign_to(model, teacher.task)
    outputs, _ = engine.make_outputs(model, batch_size)(_inputs_of(rows))
    longest = rows.token_features["input_ids"].shape[1] if kind.token_outputs else None
    if isinstance(outputs[0], dict):
        named = {f"teacher_{name}": _joined([row[name] for row in outputs], longest) for name in outputs[0]}
    else:
        named = {"teacher_outputs": _joined(outputs, longest)}
    if kind.has_classes:
        order = [teacher.labels.index(label) for label in labels]
        named = {name: values[..., order] for name, values in named.items()}
    return named


def _inputs_of(rows: EncodedExamples) -> EncodedExamples:
    """Return the rows without labels."""
    tokens = {name: values for name, values in rows.token_features.items() if name in _INPUTS}
    return dataclasses.replace(rows, token_features=tokens, example_features={})


def _joined(outputs: Sequence[Any], longest: int | None) -> np.ndarray:
    """Return the outputs of all rows in one array, [N, ...], whose axis of tokens, if there is one, is `longest`."""
    if longest is None:
        return np.stack(outputs).astype(np.float32)
    joined = np.zeros((len(outputs), longest, *outputs[0].shape[1:]), np.float32)
    for row, values in zip(joined, outputs, strict=True):
        row[: len(values)] = values[:longest]
    return joined


def _digest(teacher: Pretrained, rows: EncodedExamples, labels: Sequence[str]) -> str:
    """Return a digest of all that the outputs depend on."""
    description = {
        "model": teacher.config.to_dict(),
        "task": teacher.task,
        "pooling": teacher.pooling,
        "labels": [list(teacher.labels), list(labels)],
        "vocabulary": teacher.tokenizer().vocab_hash,
    }
    digest = hashlib.sha256(json_text.dumps(description).encode())
    tokens = {name: rows.token_features[name] for name in _INPUTS if name in rows.token_features}
    for name, values in [*sorted(teacher.weights.items()), *tokens.items(), ("lengths", rows.lengths)]:
        digest.update(f"\n{name} {values.shape} {values.dtype}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _packed(named: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **named)  # type: ignore[arg-type]
    return file.getvalue()


def _read(path: str, count: int) -> dict[str, np.ndarray] | None:
    """Return the outputs in a file; None if there is none, or if it is damaged."""
    if not files.exists(path):
        return None
    try:
        with np.load(io.BytesIO(files.read_bytes(path)), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        logging.warning("%s cannot be read (%s): the teacher's outputs are computed again", path, error)
        return None
    return found if found and all(len(values) == count for values in found.values()) else None
