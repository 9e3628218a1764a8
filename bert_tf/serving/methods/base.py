"""The base class of the predictor, with the functions that the methods of all tasks use."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np

from bert_tf import features
from bert_tf.runs.descriptions import ModelDescription
from bert_tf.serving.exported import ArrayModel
from bert_tf.tasks import MODEL_KINDS, only_task_of
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

BATCH_SIZE = 32
"""The default number of rows computed at a time."""


class BasePredictor:
    """A trained model with its tokenizer and labels. The arguments are those of `serving.predictor.Predictor`."""

    def __init__(
        self,
        model: Any,
        description: ModelDescription,
        tokenizer: WordPieceTokenizer,
        *,
        batch_size: int = BATCH_SIZE,
        source: str = "the model",
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size}")
        self.model = model
        self.description = description
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.source = source
        self.task = only_task_of(description.task_config)
        self._forward: Any = model
        if not isinstance(model, ArrayModel):
            from bert_tf.serving.compiled import compiled

            self._forward = compiled(model)

    def predict(self, examples: Sequence[Any]) -> list[dict[str, Any]]:
        """Return the answers of a fine-tuned model to the examples of its task (`bert_tf.examples`), in their order.

        Raises:
            ValueError: the model is not fine-tuned, or an example is not one of its task.
        """
        if self.task is None:
            raise ValueError(f"`predict` needs a fine-tuned model. Received: {self._described()}")
        examples = items_of("examples", examples)
        for number, example in enumerate(examples):
            self._check(number, example)
        labels = self.description.labels
        unlabelled = [example.without_label() for example in examples]
        rows = self.task.encode(unlabelled, labels, self.tokenizer)
        outputs: list[Any] = [None] * len(rows)
        for indices, inputs in self._batches(rows):
            found = self._forward(inputs)
            if isinstance(found, Mapping):
                arrays = {name: np.asarray(output) for name, output in found.items()}
                for row, index in enumerate(indices):
                    outputs[index] = {name: array[row] for name, array in arrays.items()}
            else:
                for index, row in zip(indices, np.asarray(found), strict=True):
                    outputs[index] = row
        return self.task.answers(unlabelled, rows, outputs, labels=labels)

    @property
    def _length(self) -> int:
        return self.description.max_seq_length

    def _rows(self, input_ids: list[list[int]], segment_ids: list[list[int]]) -> EncodedExamples:
        pad_id = self.tokenizer.pad_id
        return EncodedExamples.from_lists(input_ids, segment_ids, pad_id=pad_id, max_seq_length=self._length)

    def _batches(self, rows: EncodedExamples) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yield the indices of each batch's rows, and the encoder's inputs for them."""
        names = tuple(features.encoder_batch(None, None))
        for indices, batch in rows.batches(self.batch_size, fill=False):
            yield indices, {name: batch[name] for name in names}

    def _check(self, number: int, example: Any) -> None:
        """Check that an example is one of the model's task, and a pair only for a model of pairs."""
        assert self.task is not None
        if not isinstance(example, self.task.example_class):
            raise ValueError(
                f"`examples[{number}]` must be a {self.task.example_class.__name__} for {self._described()}. "
                f"Received: {example!r:.100}"
            )
        takes_pairs = self.description.takes_pairs
        if takes_pairs is not None and takes_pairs != (getattr(example, "text_pair", None) is not None):
            wanted, found = ("a pair of texts", "one text") if takes_pairs else ("one text", "a pair of texts")
            raise ValueError(
                f"`examples[{number}]` must be {wanted}, as those that the model was trained on. "
                f"Received: {found}, for {self._described()}"
            )

    def _described(self) -> str:
        return f"{self.source}, a model for {self.description.task}"

    def _require(self, method: str) -> None:
        own = MODEL_KINDS[self.description.task].methods
        if method not in own:
            tasks = " or ".join(name for name, kind in MODEL_KINDS.items() if method in kind.methods)
            raise ValueError(
                f"`{method}` needs a model for {tasks}. "
                f"Received: {self._described()}, which answers `{'` and `'.join(own)}`"
            )


def items_of(name: str, items: Sequence[Any]) -> list[Any]:
    """Return the items that a method was given as its argument `name`.

    Raises:
        ValueError: the argument is a single text, or not a sequence. To iterate over a dictionary or a table would
            give the names of its columns, and a set has no order.
    """
    if isinstance(items, str | bytes):
        raise ValueError(f"`{name}` must be a list of texts, not one text. Received: {items!r:.100}")
    if isinstance(items, Mapping | Set) or hasattr(items, "columns") or not isinstance(items, Iterable):
        raise ValueError(f"`{name}` must be a list. Received: a {type(items).__name__}, {items!r:.100}")
    return list(items)


def texts_of(name: str, texts: Sequence[str]) -> list[str]:
    """Return the texts that a method was given as its argument `name`.

    Raises:
        ValueError: an item is not a text.
    """
    found = items_of(name, texts)
    for number, text in enumerate(found):
        if not isinstance(text, str):
            raise ValueError(f"`{name}[{number}]` must be a text. Received: {text!r:.100}")
    return found
