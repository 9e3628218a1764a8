"""EncodedExamples of tokens of different lengths, and how they are put into batches of few shapes.

Shapes: N rows, B batch, L length.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_FILLER = -1
"""Stands for no row: what fills a batch up, at weight 0."""


def default_bucket_lengths(max_seq_length: int) -> tuple[int, ...]:
    """Multiples of 8 up to 64, of 16 up to 128, of 32 up to 256 and so on; the last is `max_seq_length`.

    Few enough shapes to compile, and a row is seldom padded by more than an eighth.

    >>> default_bucket_lengths(100)
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 100)
    """
    lengths = []
    length = step = 8
    while length < max_seq_length:
        lengths.append(length)
        if length >= 8 * step:
            step *= 2
        length += step
    return (*lengths, max_seq_length)


@dataclasses.dataclass(frozen=True)
class EncodedExamples:
    """Encoded rows.

    Attributes:
        lengths: tokens of each row, int [N].
        tokens: by name, what each token has, [N, longest]: `input_ids`, `segment_ids`, perhaps labels; of rows of
            several sequences `input_mask` and `position_ids` too. 0 (`input_ids`: `[PAD]`) behind the row's length.
        values: by name, what each row has, [N, ...]. Weights have names that end in `_weights`.
        bucket_lengths: the lengths that batches may have, ascending; no row is longer than the last.
        places: where each row comes from, as the task needs it to read answers off the outputs.
        pad_id: of `[PAD]`.
    """

    lengths: np.ndarray
    tokens: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    bucket_lengths: tuple[int, ...]
    places: list[Any]
    pad_id: int = 0

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def from_lists(
        cls,
        input_ids: Sequence[Sequence[int]],
        segment_ids: Sequence[Sequence[int]],
        pad_id: int,
        max_seq_length: int,
        bucket_lengths: Sequence[int] = (),
        labels: dict[str, tuple[Sequence[Sequence[float]], str]] | None = None,
        values: dict[str, np.ndarray] | None = None,
        places: Sequence[Any] | None = None,
    ) -> "EncodedExamples":
        """EncodedExamples from one list of tokens each.

        Args:
            input_ids: one list a row, `[CLS]` and `[SEP]` included.
            segment_ids: as long.
            pad_id: of `[PAD]`.
            max_seq_length: no row is longer.
            bucket_lengths: of the task's configuration; () for the default.
            labels: by name, one list a row, as long as the row, and their dtype.
            values: of the constructor.
            places: of the constructor; by default the row's number.
        """
        lengths = np.array([len(ids) for ids in input_ids], np.int32)
        longest = int(lengths.max(initial=0))
        given = {"input_ids": (input_ids, "int32"), "segment_ids": (segment_ids, "int32")} | (labels or {})
        tokens = {}
        for name, (lists, dtype) in given.items():
            padded = np.full((len(lengths), longest), pad_id if name == "input_ids" else 0, dtype)
            for row, items in enumerate(lists):
                padded[row, : len(items)] = items
            tokens[name] = padded
        buckets = tuple(sorted({*bucket_lengths, max_seq_length})) if bucket_lengths else None
        return cls(
            lengths,
            tokens,
            values or {},
            buckets or default_bucket_lengths(max_seq_length),
            list(places) if places is not None else list(range(len(lengths))),
            pad_id,
        )

    def in_one_length(self) -> "EncodedExamples":
        """The same rows, every batch as long as the longest allowed: for devices that want one shape (TPU)."""
        return dataclasses.replace(self, bucket_lengths=self.bucket_lengths[-1:])

    def bucket_length(self, longest: int) -> int:
        """The shortest length of a batch that holds a row of `longest` tokens."""
        return self.bucket_lengths[int(np.searchsorted(self.bucket_lengths, longest))]

    def batch(self, indices: np.ndarray, length: int) -> dict[str, np.ndarray]:
        """The batch of `indices` (-1 for a row that counts in nothing), padded to `length`.

        Returns:
            The encoder's inputs, int32 [B, L], and the rows' labels.
        """
        chosen = np.maximum(indices, 0)
        real = indices != _FILLER
        lengths = self.lengths[chosen]
        batch = {}
        for name, array in self.tokens.items():
            part = array[chosen, :length]
            missing = length - part.shape[1]
            padding = self.pad_id if name == "input_ids" else 0
            batch[name] = np.pad(part, ((0, 0), (0, missing)), constant_values=padding) if missing > 0 else part
        batch |= {name: array[chosen] for name, array in self.values.items()}
        for name in weights_of(batch):
            batch[name] = batch[name] * real.reshape([-1] + [1] * (batch[name].ndim - 1)).astype(batch[name].dtype)
        positions = np.arange(length, dtype=np.int32)
        batch.setdefault("input_mask", (positions < lengths[:, None]).astype(np.int32))
        batch.setdefault("position_ids", np.broadcast_to(positions, (len(indices), length)))
        return batch

    def batches(self, batch_size: int, fill: bool = True) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Every row once, rows of like length together, in batches of `batch_size` rows.

        Args:
            batch_size: B.
            fill: whether the last batch is filled up; without, it may be smaller.

        Yields:
            Indices of the rows, int [B], -1 where the last batch is filled up, and the batch.
        """
        order = np.argsort(-self.lengths, kind="stable")
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            length = self.bucket_length(int(self.lengths[indices].max()))
            if fill:
                indices = np.pad(indices, (0, batch_size - len(indices)), constant_values=_FILLER)
            yield indices, self.batch(indices, length)


def weights_of(batch: dict[str, Any]) -> list[str]:
    """The names in a batch that are weights: what fills it up has 0 there."""
    return [name for name in batch if name.endswith("_weights")]
