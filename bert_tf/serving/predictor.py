"""A trained model behind the verb of its task: texts in, answers out, in Python."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf import features, files
from bert_tf.configs import FinetuningConfig
from bert_tf.examples import QuestionExample, TaggedExample, TextExample
from bert_tf.rows import Rows
from bert_tf.tasks import task_of
from bert_tf.tasks.tagging import word_offsets
from bert_tf.tokenization import WordPieceTokenizer
from bert_tf.training import model_dir
from bert_tf.training.model_dir import RunDescription


class Predictor:
    """A model, its tokenizer and its labels.

    Args:
        model: `BertPretrainer`, or a fine-tuned model.
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
        self.task = None
        if description.task != "pretraining":
            self.task = task_of(FinetuningConfig.from_dict(description.experiment).task)
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
        self._require("classify", "classification")
        return self.predict(_texts(texts, text_pairs))

    def label(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The labels of each text of a multi-label model, and the probabilities of all.

        Returns:
            For each text, `{"labels": [name, ...], "probabilities": {name: probability}}`.

        Raises:
            ValueError: the model is none of multi-label classification, or the numbers of texts differ.
        """
        self._require("label", "multi_label")
        return self.predict(_texts(texts, text_pairs))

    def rate(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The number of each text, or pair of texts.

        Returns:
            For each text, `{"value": number}`.

        Raises:
            ValueError: the model is none of regression, or the numbers of texts differ.
        """
        self._require("rate", "regression")
        return self.predict(_texts(texts, text_pairs))

    def tag(self, texts: Sequence[str | Sequence[str]]) -> list[dict[str, Any]]:
        """The tags of each text's words, and the spans that they make.

        Args:
            texts: any number, each a text, whose words are then what is between spaces and punctuation (as
                `BasicTokenizer` cuts it; each ideograph is a word); or a list of words.

        Returns:
            For each text, `{"words": [...], "tags": [...], "spans": [{"label", "text", "start", "end"}]}`; start and
            end count characters of the text (words that are given are joined by spaces).

        Raises:
            ValueError: the model is no tagger.
        """
        self._require("tag", "tagging")
        return self.predict([self._tagged(text) for text in texts])

    def answer(self, questions: Sequence[str], contexts: Sequence[str]) -> list[dict[str, Any]]:
        """The answer of each question, a part of its context.

        Returns:
            For each question, `answer` ("" for none), `start`, `end` in the context, and `n_best`; see
            `tasks.question_answering.QuestionAnswering.answers`.

        Raises:
            ValueError: the model is none of question answering, or the numbers differ.
        """
        self._require("answer", "question_answering")
        if len(questions) != len(contexts):
            raise ValueError(
                f"`contexts` must be as many as `questions`. Received: {len(contexts)} and {len(questions)}"
            )
        return self.predict(
            [
                QuestionExample(question, context, str(number), labelled=False)
                for number, (question, context) in enumerate(zip(questions, contexts, strict=True))
            ]
        )

    def predict(self, examples: Sequence[Any]) -> list[dict[str, Any]]:
        """The answers of a fine-tuned model to the examples of its task (`bert_tf.examples`), in their order.

        Raises:
            ValueError: the model is none of a fine-tuning task.
        """
        if self.task is None:
            raise ValueError(f"`predict` needs a fine-tuned model. Received: one of {self.description.task}")
        labels = self.description.labels
        unlabelled = [_without_label(example) for example in examples]
        rows = self.task.encode(unlabelled, labels, self.tokenizer)
        outputs: list[Any] = [None] * len(rows)
        for indices, batch in rows.batches(self.batch_size):
            found = tf.nest.map_structure(lambda tensor: tensor.numpy(), self._forward(_encoder_inputs(batch)))
            for place, index in enumerate(indices):
                if index >= 0:
                    outputs[index] = tf.nest.map_structure(lambda array, place=place: array[place], found)
        return self.task.answers(unlabelled, rows, outputs, labels)

    def _tagged(self, text: str | Sequence[str]) -> TaggedExample:
        if not isinstance(text, str):
            return TaggedExample.from_words(list(text))
        return TaggedExample(text, tuple(word_offsets(text, self.tokenizer.basic_tokenizer)))

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
        self._require("fill_mask", "pretraining")
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
        padded = Rows.from_lists(
            [ids for ids, _ in rows],
            [segments for _, segments in rows],
            tokenizer.pad_id,
            self.description.max_seq_length,
        )
        for numbers, batch in padded.batches(self.batch_size):
            indices = numbers[numbers >= 0]
            inputs = {name: array[: len(indices)] for name, array in _encoder_inputs(batch).items()}
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

    def _require(self, verb: str, task: str) -> None:
        if self.description.task != task:
            raise ValueError(f"`{verb}` needs a model of {task}. Received: one of {self.description.task}")


def _encoder_inputs(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: batch[name] for name in features.encoder_batch(None, None)}


def _texts(texts: Sequence[str], text_pairs: Sequence[str] | None) -> list[TextExample]:
    if text_pairs is None:
        return [TextExample(text) for text in texts]
    if len(text_pairs) != len(texts):
        raise ValueError(f"`text_pairs` must be as many as `texts`. Received: {len(text_pairs)} and {len(texts)}")
    return [TextExample(text, pair) for text, pair in zip(texts, text_pairs, strict=True)]


def _without_label(example: Any) -> Any:
    """The example as it would be read without labels: an unknown label is no reason not to answer."""
    if isinstance(example, QuestionExample):
        return dataclasses.replace(example, answers=(), labelled=False)
    field = "tags" if isinstance(example, TaggedExample) else "label"
    return dataclasses.replace(example, **{field: None})


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
