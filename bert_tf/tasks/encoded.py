"""Encoded examples of different lengths, and their batches in few shapes.

Shapes: N encoded examples, B batch, L length.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

_FILLER = -1
"""The index of a filler: a row of a batch without an encoded example, whose weight is 0."""


def default_bucket_lengths(max_seq_length: int) -> tuple[int, ...]:
    """Return the multiples of 8 up to 64, of 16 up to 128, of 32 up to 256 and so on, up to `max_seq_length`.

    These are few shapes to compile, and they seldom pad an example by more than an eighth.

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodedExamples:
    """The examples of a task as token ids, with their labels.

    A long example may become several encoded examples, and retrieval joins several texts into one.

    Attributes:
        lengths: the number of tokens of each encoded example, int [N].
        token_features: name -> a value for each token, [N, longest, ...]: `input_ids`, `segment_ids`, perhaps labels.
            Examples of several sequences have `input_mask` and `position_ids` too. The values after an example's
            length are 0, or `pad_id` in `input_ids`.
        example_features: name -> a value for each encoded example, [N, ...]. The names of weights end in `_weights`.
        bucket_lengths: the lengths that batches may have, ascending. No example is longer than the last.
        sources: the example that each encoded one comes from, in the form that the task's `answers` needs.
        pad_id: the id of `[PAD]`.
        group_size: the number of encoded examples, one after the other, that stay together in a batch of training,
            because its loss compares them. N is a multiple of it.
    """

    lengths: np.ndarray
    token_features: dict[str, np.ndarray]
    example_features: dict[str, np.ndarray]
    bucket_lengths: tuple[int, ...]
    sources: list[Any]
    pad_id: int = 0
    group_size: int = 1

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def from_lists(
        cls,
        input_ids: Sequence[Sequence[int]],
        segment_ids: Sequence[Sequence[int]],
        *,
        pad_id: int,
        max_seq_length: int,
        bucket_lengths: Sequence[int] = (),
        token_features: Mapping[str, tuple[Sequence[Sequence[float]], str]] | None = None,
        example_features: dict[str, np.ndarray] | None = None,
        sources: Sequence[Any] | None = None,
        group_size: int = 1,
    ) -> "EncodedExamples":
        """Make encoded examples from lists of tokens.

        Args:
            input_ids: a list for each example, `[CLS]` and `[SEP]` included.
            segment_ids: lists of the same lengths as `input_ids`.
            pad_id: the id of `[PAD]`.
            max_seq_length: the largest allowed length.
            bucket_lengths: the lengths that batches may have; () for `default_bucket_lengths`.
            token_features: for each name, lists of the same lengths and their dtype.
            example_features: as in the class.
            sources: as in the class; by default the indices of the examples.
            group_size: as in the class.
        """
        lengths = np.array([len(ids) for ids in input_ids], np.int32)
        longest = int(lengths.max(initial=0))
        given = {"input_ids": (input_ids, "int32"), "segment_ids": (segment_ids, "int32")} | dict(token_features or {})
        padded_features = {}
        for name, (lists, dtype) in given.items():
            padded = np.full((len(lengths), longest), pad_id if name == "input_ids" else 0, dtype)
            for index, items in enumerate(lists):
                padded[index, : len(items)] = items
            padded_features[name] = padded
        buckets = tuple(sorted({*bucket_lengths, max_seq_length})) if bucket_lengths else None
        return cls(
            lengths=lengths,
            token_features=padded_features,
            example_features=example_features or {},
            bucket_lengths=buckets or default_bucket_lengths(max_seq_length),
            sources=list(sources) if sources is not None else list(range(len(lengths))),
            pad_id=pad_id,
            group_size=group_size,
        )

    def in_one_length(self) -> "EncodedExamples":
        """Return the same examples with one bucket length, the longest, for devices that need one shape (TPU)."""
        return dataclasses.replace(self, bucket_lengths=self.bucket_lengths[-1:])

    @property
    def group_lengths(self) -> np.ndarray:
        """The number of tokens of the longest encoded example of each group, int [N / group size]."""
        return self.lengths.reshape(-1, self.group_size).max(axis=1)

    def in_groups(self, groups: np.ndarray) -> np.ndarray:
        """Return the indices of the encoded examples of groups, int [groups x group size], from those of the groups."""
        return (groups[:, None] * self.group_size + np.arange(self.group_size)).reshape(-1)

    def check_batch_size(self, name: str, batch_size: int, parts: int = 1) -> None:
        """Check that a batch of training can be divided so that groups stay together.

        Args:
            name: the name of the size, for the message.
            batch_size: the number of rows in a batch.
            parts: the number of parts in which it is computed, on devices or one after the other.

        Raises:
            ValueError: it cannot.
        """
        if self.group_size > 1 and batch_size % (self.group_size * parts):
            rule = f" on each of {parts} devices and parts" if parts > 1 else ""
            raise ValueError(
                f"`{name}` must be a multiple of the {self.group_size} rows that the loss compares{rule}. "
                f"Received: {batch_size}"
            )

    def bucket_length(self, longest: int) -> int:
        """Return the shortest length of a batch that holds an example of `longest` tokens."""
        return self.bucket_lengths[int(np.searchsorted(self.bucket_lengths, longest))]

    def batch(self, indices: np.ndarray, length: int) -> dict[str, np.ndarray]:
        """Return the batch of the examples at `indices`.

        `training.encoded_batches.batch_gatherer` does the same in a graph.

        Args:
            indices: the indices of the examples, int [B]; -1 for a filler, which repeats the first example with weight
                0.
            length: L, the length of the batch.

        Returns:
            The encoder's inputs, int32 [B, L], the other token features, [B, L, ...], and the example features,
            [B, ...].
        """
        chosen = np.maximum(indices, 0)
        is_real = indices != _FILLER
        lengths = self.lengths[chosen]
        batch = {}
        for name, array in self.token_features.items():
            cut = array[chosen, :length]
            missing = length - cut.shape[1]
            padding = self.pad_id if name == "input_ids" else 0
            pads = [(0, 0), (0, missing), *[(0, 0)] * (cut.ndim - 2)]
            batch[name] = np.pad(cut, pads, constant_values=padding) if missing > 0 else cut
        batch |= {name: array[chosen] for name, array in self.example_features.items()}
        for name in weight_names(batch):
            batch[name] = batch[name] * is_real.reshape([-1] + [1] * (batch[name].ndim - 1)).astype(batch[name].dtype)
        for name in position_names(batch):
            batch[name] = np.minimum(batch[name], length - 1, dtype=batch[name].dtype)
        positions = np.arange(length, dtype=np.int32)
        batch.setdefault("input_mask", (positions < lengths[:, None]).astype(np.int32))
        batch.setdefault("position_ids", np.broadcast_to(positions, (len(indices), length)))
        return batch

    def batches(self, batch_size: int, fill: bool = True) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yield every example once, from long ones to short ones, in batches of `batch_size`.

        Args:
            batch_size: B.
            fill: whether to fill up the last batch; if not, it may be smaller.

        Yields:
            The indices of the examples, int [B], with -1 for fillers, and the batch.
        """
        order = np.argsort(-self.lengths, kind="stable")
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            length = self.bucket_length(int(self.lengths[indices].max()))
            if fill:
                indices = np.pad(indices, (0, batch_size - len(indices)), constant_values=_FILLER)
            yield indices, self.batch(indices, length)


def position_names(batch: Iterable[str]) -> list[str]:
    """Return the names of a batch's positions, which in a filler may be beyond the length of a short batch."""
    return [name for name in batch if name.endswith("_positions")]


def weight_names(batch: Iterable[str]) -> list[str]:
    """Return the names of a batch's weights, which are 0 in fillers."""
    return [name for name in batch if name.endswith("_weights")]
