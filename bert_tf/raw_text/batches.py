"""The batches of encoded examples for Keras's `fit`, `evaluate` and `predict`, on every backend.

Shapes: N rows, B batch, L length.
"""

from typing import Any

import keras
import numpy as np

from bert_tf.tasks import Task
from bert_tf.tasks.encoded import EncodedExamples

_TOGETHER = 64
"""The largest number of batches that are cut from rows sorted by length together."""


class EncodedBatches(keras.utils.PyDataset):
    """Batches of rows of similar length, each padded to the shortest bucket length that holds it.

    Args:
        encoded: the rows.
        task: the task, whose targets and weights follow the inputs; None for inputs alone.
        batch_size: B; the last batch may be smaller.
        shuffle: whether the rows of an epoch come in another order each time; if not, long rows come first.
        one_length: whether all batches have the length of the longest row, so that outputs of tokens can be joined.

    Raises:
        ValueError: a batch would divide a group of rows.

    Attributes:
        order: the indices of the rows in the order of the batches, int [N].
    """

    def __init__(
        self,
        encoded: EncodedExamples,
        task: Task | None,
        *,
        batch_size: int,
        shuffle: bool = False,
        one_length: bool = False,
    ) -> None:
        super().__init__()
        encoded.check_batch_size("batch_size", batch_size)
        self._encoded = encoded
        self._task = task
        self._shuffle = shuffle
        self._length = encoded.bucket_length(int(encoded.lengths.max(initial=1))) if one_length else None
        self._batch_size = batch_size
        self._batches = self._cut()
        lengths = {self._length_of(batch) for batch in self._batches}
        if len(lengths) == 1:  # Keras accepts no other in the next epochs
            self._length = lengths.pop()

    def _cut(self) -> list[np.ndarray]:
        """Return the rows of each batch of an epoch."""
        lengths, size = self._encoded.group_lengths, self._batch_size // self._encoded.group_size
        order, together = np.arange(len(lengths)), len(lengths)
        if self._shuffle:
            order = np.random.permutation(len(lengths))  # `keras.utils.set_random_seed` makes it reproducible
            together = size * max(1, min(_TOGETHER, len(order) // size // 4))
        parts = np.split(order, np.arange(together, len(order), together))
        order = np.concatenate([part[np.argsort(-lengths[part], kind="stable")] for part in parts])
        batches = [self._encoded.in_groups(some) for some in np.split(order, np.arange(size, len(order), size))]
        # Keras takes the lengths that it will accept from the first two batches. In training it shuffles them itself.
        if len(batches) > 2:
            by_length = np.argsort([self._length_of(batch) for batch in batches], kind="stable").tolist()
            ends = [by_length[-1], by_length[0]]
            batches = [batches[number] for number in (*ends, *(n for n in range(len(batches)) if n not in ends))]
        self.order = np.concatenate(batches)
        return batches

    def _length_of(self, rows: np.ndarray) -> int:
        return self._length or self._encoded.bucket_length(int(self._encoded.lengths[rows].max(initial=1)))

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rows = self._batches[index]
        batch = self._encoded.batch(rows, self._length_of(rows))
        if self._task is None:
            return (batch,)
        target, weights = self._task.target, batch[self._task.target_weights]
        if target is None:
            return batch, weights[:, 0]  # the loss compares the rows by their features
        if isinstance(target, str):
            return batch, batch[target], weights
        return batch, {name: batch[feature] for name, feature in target.items()}, dict.fromkeys(target, weights)

    def on_epoch_end(self) -> None:
        """Shuffle the rows for the next epoch."""
        if self._shuffle:
            self._batches = self._cut()
