"""A trained model behind the verb of its task: texts in, answers out, in Python."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf import files
from bert_tf.tokenization import WordPieceTokenizer
from bert_tf.training import model_dir
from bert_tf.training.model_dir import RunDescription

_LENGTH_STEP = 16  # rows are padded to multiples of this, so that few shapes are traced


class Predictor:
    """A model, its tokenizer and its labels.

    Args:
        model: `BertPretrainer` or `BertClassifier`.
        description: of the run that trained it.
        tokenizer: of its vocabulary.
        batch_size: rows computed at a time.
    """

    def __init__(
        self, model: Any, description: RunDescription, tokenizer: WordPieceTokenizer, batch_size: int = 32
    ) -> None:
        self.model = model
        self.description = description
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self._forward = tf.function(lambda inputs: model(inputs, training=False), reduce_retracing=True)

    def classify(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The label of each text, or pair of texts, and the probabilities of all labels.

        Args:
            texts: any number.
            text_pairs: the second texts, as many, for a model of pairs.

        Returns:
            For each text, in the caller's order, `{"label": name, "probabilities": {name: probability}}`.

        Raises:
            ValueError: the model is no classifier, or the numbers of texts differ.
        """
        self._require("classification", "classify")
        if text_pairs is not None and len(text_pairs) != len(texts):
            raise ValueError(f"`text_pairs` must be as many as `texts`. Received: {len(text_pairs)} and {len(texts)}")
        pairs: Sequence[str | None] = text_pairs if text_pairs is not None else [None] * len(texts)
        rows = [
            self.tokenizer.encode_pair(text, pair, self.description.max_seq_length)
            for text, pair in zip(texts, pairs, strict=True)
        ]
        results: list[dict[str, Any]] = [{}] * len(rows)
        for indices, inputs in self._batches(rows):
            probabilities = tf.nn.softmax(self._forward(inputs), axis=-1).numpy()
            for index, row in zip(indices, probabilities, strict=False):
                named = dict(zip(self.description.labels, row.tolist(), strict=True))
                results[index] = {"label": self.description.labels[int(row.argmax())], "probabilities": named}
        return results

    def fill_mask(self, texts: Sequence[str], top_k: int = 5) -> list[list[list[tuple[str, float]]]]:
        """The likeliest pieces at each `[MASK]` of each text.

        Args:
            texts: any number, with `[MASK]` where a piece is wanted.
            top_k: pieces for each mask.

        Returns:
            For each text, for each of its masks within the model's length, (piece, probability) pairs, likeliest first.

        Raises:
            ValueError: the model has no masked-LM head; a text has no `[MASK]`; there are fewer pieces than `top_k`.
        """
        self._require("pretraining", "fill_mask")
        tokenizer = self.tokenizer
        if not 1 <= top_k <= tokenizer.vocab_size:
            raise ValueError(
                f"`top_k` must be between 1 and the {tokenizer.vocab_size} pieces of the vocabulary. Received: {top_k}"
            )
        rows = [
            tokenizer.encode_pair(text, None, self.description.max_seq_length, parse_special_tokens=["[MASK]"])
            for text in texts
        ]
        for text, (ids, _) in zip(texts, rows, strict=True):
            if tokenizer.mask_id not in ids:
                raise ValueError(f"a text must hold [MASK] within the model's length. Received: {text!r}")
        results: list[list[list[tuple[str, float]]]] = [[]] * len(rows)
        for indices, inputs in self._batches(rows):
            masks = [np.flatnonzero(ids == tokenizer.mask_id) for ids in inputs["input_ids"]]
            positions = np.zeros((len(masks), max(map(len, masks))), np.int32)
            for row, places in enumerate(masks):
                positions[row, : len(places)] = places
            logits = self._forward(inputs | {"masked_lm_positions": positions})["masked_lm_logits"]
            top = tf.math.top_k(tf.nn.softmax(logits, axis=-1), k=top_k)
            scores, pieces = top.values.numpy(), top.indices.numpy()
            for row, index in enumerate(indices):
                results[index] = [
                    [
                        (tokenizer.tokens[piece], float(score))
                        for piece, score in zip(pieces[row, place], scores[row, place], strict=True)
                    ]
                    for place in range(len(masks[row]))
                ]
        return results

    def _require(self, task: str, verb: str) -> None:
        if self.description.task != task:
            raise ValueError(f"`{verb}` needs a model of {task}. Received: one of {self.description.task}")

    def _batches(self, rows: Sequence[tuple[list[int], list[int]]]) -> Any:
        """(indices of rows, the encoder's inputs) for batches of rows of similar length, padded."""
        order = sorted(range(len(rows)), key=lambda index: len(rows[index][0]))
        for start in range(0, len(order), self.batch_size):
            indices = order[start : start + self.batch_size]
            longest = len(rows[indices[-1]][0])
            length = min(-(-longest // _LENGTH_STEP) * _LENGTH_STEP, self.description.max_seq_length)
            shape = (len(indices), length)
            inputs = {name: np.zeros(shape, np.int32) for name in ("input_ids", "input_mask", "segment_ids")}
            inputs["input_ids"][:] = self.tokenizer.pad_id
            for row, index in enumerate(indices):
                ids, segments = rows[index]
                inputs["input_ids"][row, : len(ids)] = ids
                inputs["input_mask"][row, : len(ids)] = 1
                inputs["segment_ids"][row, : len(ids)] = segments
            yield indices, inputs


def load(path: str) -> Predictor:
    """The predictor of a run's folder, with its newest complete checkpoint.

    >>> load("runs/classifier").classify(["a text"])  # doctest: +SKIP
    [{'label': 'positive', 'probabilities': {'negative': 0.1, 'positive': 0.9}}]

    Raises:
        FileNotFoundError: it is no folder of a run, or has no complete checkpoint.
    """
    if not files.exists(os.path.join(path, model_dir.CONFIG_FILE)):
        raise FileNotFoundError(f"no run's folder ({model_dir.CONFIG_FILE} is missing). Received: {path!r}")
    return Predictor(*model_dir.load_model(path, "path"))
