"""The rows of every global batch that one of several input pipelines reads."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class BatchShard:
    """The share of every global batch that one input pipeline reads.

    Attributes:
        index: the number of this pipeline, from 0. The pipelines have consecutive rows, in this order.
        count: the number of pipelines.
    """

    index: int = 0
    count: int = 1

    def of(self, dataset: Any) -> Any:
        """Return this shard's rows of a `tf.data.Dataset` of global batches. Every pipeline makes the whole batches.

        Raises:
            ValueError: the rows cannot be divided evenly.
        """
        if self.count == 1:
            return dataset
        import keras

        def own_rows(tensor: Any) -> Any:
            rows = rows_of_each(tensor.shape[0], self.count, "workers")
            return tensor[self.index * rows : (self.index + 1) * rows]

        return dataset.map(lambda batch: keras.tree.map_structure(own_rows, batch))


def rows_of_each(rows: int, parts: int, name: str) -> int:
    """Return the number of rows that each of `parts` gets.

    Args:
        rows: the number of rows in a batch.
        parts: the number of parts.
        name: the name of the parts, for the message.

    Raises:
        ValueError: the rows cannot be divided evenly.
    """
    if rows % parts:
        raise ValueError(f"the rows of a batch must be a multiple of the {parts} {name}. Received: {rows}")
    return rows // parts
