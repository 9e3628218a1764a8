"""Staged documents: cleaned documents in files that several machines reach, and a table of what decides about them.

A unit is a sequence of documents that one machine stages: `unit-00000.training` and `.heldout` hold the documents, one
after the other, and `unit-00000.rows` a row for each document, in order. Who chooses and cuts reads rows only, a block
at a time; who works on documents reads the ranges (`Run`) that were chosen.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, NamedTuple

import numpy as np

from bert_tf.utils import files
from data_pipelines.corpora.deduplication import document_fingerprint
from data_pipelines.corpora.documents import (
    Document,
    document_bytes,
    in_groups,
    is_held_out,
    num_characters,
    pack_documents,
    unpack_documents,
    without_blanks,
)
from data_pipelines.corpora.mixtures import mixing_hash
from data_pipelines.corpora.near_duplicates import sketches

# The number of characters whose rows are written, and read, at a time.
_BLOCK_CHARACTERS = 1 << 20
_LENGTH_BYTES = 8  # of the number before each stored document
_ROW = np.dtype(
    [
        ("held_out", "u1"),
        ("sketch_size", "u1"),
        ("sentences", "<u8"),
        ("characters", "<u8"),
        ("text_bytes", "<u8"),
        ("stored_bytes", "<u8"),
        ("fingerprint", "<u8"),
        ("mixing", "<u8"),
    ]
)


class Run(NamedTuple):
    """The documents in a range of bytes of a staged file."""

    unit: int
    held_out: bool
    start: int
    end: int


class DocumentRow(NamedTuple):
    """The facts that decide about a document.

    Attributes:
        run: where the document is staged.
        sentences: the number of its sentences.
        characters: the number of characters in them.
        text_bytes: its size as text (`documents.document_bytes`).
        fingerprint: `deduplication.document_fingerprint`, or 0 if it is not needed.
        mixing: `mixtures.mixing_hash`.
        sketch: uint64 [at most 32], as `near_duplicates.sketches` gives it, or empty if it is not needed.
    """

    run: Run
    sentences: int
    characters: int
    text_bytes: int
    fingerprint: int
    mixing: int
    sketch: np.ndarray


@dataclasses.dataclass(frozen=True)
class Staging:
    """The place where documents are staged, and the settings that choose among them.

    Attributes:
        folder: the folder, which all machines reach by this path.
        holdout: the share of documents that `documents.is_held_out` holds out.
        deduplicate: the duplicates that will be left out (`mixtures.DEDUPLICATION`).
        seed: the random seed of mixing.
    """

    folder: str
    holdout: float = 0.0
    deduplicate: str = "none"
    seed: int = 0

    def path(self, unit: int, kind: str) -> str:
        """Return the path of a unit's file."""
        return os.path.join(self.folder, f"unit-{unit:05d}.{kind}")

    def data_path(self, unit: int, held_out: bool) -> str:
        """Return the path of the file with a unit's training or held-out documents."""
        return self.path(unit, "heldout" if held_out else "training")

    def write(self, unit: int, documents: Iterable[Document]) -> None:
        """Stage the documents of a unit, without blank sentences. Memory holds a million characters, and their rows.

        Raises:
            OSError: a file cannot be written.
        """
        with contextlib.ExitStack() as stack:
            table = stack.enter_context(files.open_to_write(self.path(unit, "rows")))
            parts = (False, True) if self.holdout else (False,)
            data = [stack.enter_context(files.open_to_write(self.data_path(unit, part))) for part in parts]
            for group in in_groups(without_blanks(documents), num_characters, _BLOCK_CHARACTERS):
                self._write_block(group, table, data)

    def _write_block(self, group: Sequence[Document], table: IO[bytes], data: Sequence[IO[bytes]]) -> None:
        found: list[np.ndarray] = []
        if self.deduplicate == "near":
            found = sketches(["\n".join(document) for document in group])
        rows = np.zeros(len(group), _ROW)
        for number, document in enumerate(group):
            held_out = bool(self.holdout) and is_held_out(document, self.holdout)
            stored = pack_documents([document])
            data[held_out].write(len(stored).to_bytes(_LENGTH_BYTES, "little") + stored)
            rows[number] = (
                held_out,
                len(found[number]) if found else 0,
                len(document),
                num_characters(document),
                document_bytes(document),
                _LENGTH_BYTES + len(stored),
                document_fingerprint(document) if self.deduplicate == "exact" else 0,
                mixing_hash(document, self.seed),
            )
        values = np.concatenate(found) if found else np.zeros(0, np.uint64)
        for array in (rows, values.astype("<u8")):
            table.write(len(array).to_bytes(_LENGTH_BYTES, "little"))
            table.write(array.tobytes())

    def rows(self, unit: int) -> Iterator[DocumentRow]:
        """Yield the rows of a unit, in the order of its documents. Memory holds one block of them.

        Raises:
            OSError: the table cannot be read.
        """
        ends = [0, 0]
        with files.open_to_read(self.path(unit, "rows")) as table:
            while (rows := _read_array(table, _ROW)) is not None:
                values = _read_array(table, np.dtype("<u8"))
                assert values is not None
                first = 0
                for held_out, sketch_size, sentences, characters, size, stored, fingerprint, mixing in rows.tolist():
                    start = ends[held_out]
                    ends[held_out] = start + stored
                    run = Run(unit, bool(held_out), start, start + stored)
                    sketch = values[first : first + sketch_size]
                    first += sketch_size
                    yield DocumentRow(run, sentences, characters, size, fingerprint, mixing, sketch)

    def read(self, runs: Iterable[Run]) -> Iterator[list[str]]:
        """Yield the staged documents of some ranges. Memory holds one range.

        Raises:
            OSError: a file cannot be read.
        """
        for unit, held_out, start, end in runs:
            data = memoryview(files.read_bytes(self.data_path(unit, held_out), (start, end)))
            position = 0
            while position < len(data):
                first = position + _LENGTH_BYTES
                position = first + int.from_bytes(data[position:first], "little")
                yield from unpack_documents(data[first:position])


def _read_array(table: IO[bytes], dtype: np.dtype) -> np.ndarray | None:
    """Return the next array of a table, or None at its end."""
    length = table.read(_LENGTH_BYTES)
    if not length:
        return None
    return np.frombuffer(table.read(int.from_bytes(length, "little") * dtype.itemsize), dtype)


def joined(runs: Iterable[Run]) -> list[Run]:
    """Return the same ranges, but one for those that follow each other."""
    found: list[Run] = []
    for run in runs:
        if found and found[-1][:2] == run[:2] and found[-1].end == run.start:
            found[-1] = found[-1]._replace(end=run.end)
        else:
            found.append(run)
    return found
