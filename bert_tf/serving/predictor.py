"""The Python inference API: `load` and `Predictor`."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bert_tf import features
from bert_tf.examples import QuestionExample, TaggedExample, TextExample
from bert_tf.models.encoder import BertEncoder
from bert_tf.models.pooling import TEXT_POOLINGS, check_pooling, text_vectors
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.runs.descriptions import ModelDescription
from bert_tf.scoring.retrieval import rank
from bert_tf.serving.litert import LiteModel
from bert_tf.serving.loading import read_model
from bert_tf.serving.padding_free import without_padding
from bert_tf.tasks import MODEL_KINDS, task_of
from bert_tf.tasks.encoded import EncodedExamples
from bert_tf.tasks.tagging import word_offsets
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

BATCH_SIZE = 32
"""The default number of rows computed at a time."""


class Predictor:
    """A trained model with its tokenizer and labels, and the methods of its task.

    Each method takes any number of texts, computes them in batches of similar length, and returns the answers in the
    caller's order.

    Args:
        model: a `BertEncoder`, a `BertPretrainer` or a fine-tuned model; or an `ExportedModel` or `LiteModel` of one.
        description: the description of the run that trained it.
        tokenizer: the tokenizer of its vocabulary.
        batch_size: number of rows computed at a time.
        source: the model's path or name, for messages.

    Raises:
        ValueError: `batch_size` is below 1.
    """

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
        self.task = None
        if description.task_config is not None:
            self.task = task_of(description.task_config)
        self._forward: Any = model
        self._vectors: Any = self._text_vectors
        if not isinstance(model, LiteModel):  # calling LiteRT through TensorFlow costs as much as a short text
            # An export leaves padding out itself.
            call = without_padding(model) if isinstance(model, keras.Model) else model
            self._forward = tf.function(call, reduce_retracing=True)
            self._vectors = tf.function(self._text_vectors, reduce_retracing=True)

    def classify(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return the class of each text, or pair of texts, and the probabilities of all classes.

        Args:
            texts: any number of texts.
            text_pairs: as many second texts, for a model of pairs.

        Returns:
            For each text, in the caller's order, `{"label": name, "probabilities": {name: probability}}`. A multi-label
            model gives `{"labels": [name, ...], "probabilities": {name: probability}}`, where each label has a
            probability of its own.

        Raises:
            ValueError: the model is not a classifier, an item is not a string, or the numbers of texts differ.
        """
        self._require("classify")
        return self.predict(_examples(texts, text_pairs))

    def score(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[float]:
        """Return the number that a regression model predicts for each text, or pair of texts.

        Args:
            texts: any number of texts.
            text_pairs: as many second texts, for a model of pairs.

        Raises:
            ValueError: the model is not a regressor, an item is not a string, or the numbers of texts differ.
        """
        self._require("score")
        return [answer["value"] for answer in self.predict(_examples(texts, text_pairs))]

    def tag(self, texts: Sequence[str | Sequence[str]]) -> list[dict[str, Any]]:
        """Return the tags of each text's words, and the spans that they make.

        Args:
            texts: any number of texts or lists of words. A text is split into words at spaces and around punctuation
                and ideographs, as by `BasicTokenizer`.

        Returns:
            For each text, `{"words": [...], "tags": [...], "spans": [{"label", "text", "start", "end"}]}`. Start and
            end count characters of the text, or of the given words joined by spaces.

        Raises:
            ValueError: the model is not a tagger, or an item is neither a string nor a list of strings.
        """
        self._require("tag")
        return self.predict([self._tagged(number, text) for number, text in enumerate(_items("texts", texts))])

    def answer(self, questions: Sequence[str], contexts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the answer to each question, a part of its context.

        Args:
            questions: any number of texts.
            contexts: the context of each question.

        Returns:
            For each question, `answer` ("" for none), its `start` and `end` in the context, and `n_best`; see
            `tasks.question_answering.QuestionAnswering.answers`.

        Raises:
            ValueError: the model is not one of question answering, an item is not a string, or the numbers differ.
        """
        self._require("answer")
        questions, contexts = _texts("questions", questions), _texts("contexts", contexts)
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
        """Return the answers of a fine-tuned model to the examples of its task (`bert_tf.examples`), in their order.

        Raises:
            ValueError: the model is not fine-tuned.
        """
        if self.task is None:
            raise ValueError(f"`predict` needs a fine-tuned model. Received: {self._described()}")
        labels = self.description.labels
        unlabelled = [_without_label(example) for example in examples]
        rows = self.task.encode(unlabelled, labels, self.tokenizer)
        outputs: list[Any] = [None] * len(rows)
        for indices, inputs in self._batches(rows):
            found = tf.nest.map_structure(np.asarray, self._forward(inputs))
            for row, index in enumerate(indices):
                outputs[index] = tf.nest.map_structure(lambda array, row=row: array[row], found)
        return self.task.answers(unlabelled, rows, outputs, labels=labels)

    def embed(self, texts: Sequence[str], pooling: str | None = None, normalize: bool | None = None) -> np.ndarray:
        """Return a vector for each text.

        Args:
            texts: any number of texts; longer ones are cut to the model's length.
            pooling: `mean`, the mean of the last block's vectors, `[CLS]` and `[SEP]` included; `cls`, the vector of
                `[CLS]`; or `pooler`, the pooled output. None for the model's own setting, by default `mean`.
            normalize: whether vectors are scaled to length 1. None for the model's own setting, by default False.

        Returns:
            float32 [N, D].

        Raises:
            ValueError: the model cannot embed, an item is not a string, or `pooling` is not supported.
        """
        self._require("embed")
        settings = self.description.embedding
        pooling = settings.pooling if pooling is None else pooling
        check_pooling(pooling, TEXT_POOLINGS)
        if pooling == "pooler" and not self.description.has_pooler:
            raise ValueError(f"`pooling` pooler needs a model with a pooler. Received: {self._described()}, without")
        normalize = settings.normalize if normalize is None else normalize
        rows = self._rows([self.tokenizer.encode_pair(text, None, self._length) for text in _texts("texts", texts)])
        vectors = np.zeros((len(rows), self.description.model.hidden_size), np.float32)
        for indices, inputs in self._batches(rows):
            vectors[indices] = np.asarray(self._vectors(inputs, pooling, bool(normalize)))
        return vectors

    def search(self, queries: Sequence[str], passages: Sequence[str], top_k: int = 10) -> list[list[dict[str, Any]]]:
        """Return the passages that are nearest to each query, by the cosine of their vectors.

        A model that was trained to embed without normalization, such as DPR, compares by the dot product instead.

        Args:
            queries: any number of texts.
            passages: at least one text; all are compared with all queries.
            top_k: number of passages to return for each query, if there are as many.

        Returns:
            For each query, nearest first, `{"index": index in passages, "passage": text, "score": number}`.

        Raises:
            ValueError: the model cannot embed, an item is not a string, there is no passage, or `top_k` is below 1.
        """
        self._require("search")
        queries, passages = _texts("queries", queries), _texts("passages", passages)
        if not passages:
            raise ValueError("`passages` must have at least one text. Received: none")
        if top_k < 1:
            raise ValueError(f"`top_k` must be at least 1. Received: {top_k}")
        by_cosine = self.description.embedding.similarity == "cosine"
        vectors = self.embed([*queries, *passages], normalize=by_cosine)
        _, found = rank(vectors[: len(queries)], vectors[len(queries) :], [()] * len(queries), top_k=top_k)
        return [
            [{"index": index, "passage": passages[index], "score": score} for index, score in nearest]
            for nearest in found
        ]

    def fill_mask(self, texts: Sequence[str], top_k: int = 5) -> list[list[list[tuple[str, float]]]]:
        """Return the likeliest tokens at each `[MASK]` of each text.

        Args:
            texts: any number of texts, with `[MASK]` for each token to predict.
            top_k: number of tokens for each mask.

        Returns:
            For each text, for each of its masks within the model's length, (token, probability) pairs, likeliest first.

        Raises:
            ValueError: the model has no masked-LM head, an item is not a string or has no `[MASK]`, or the vocabulary
                has fewer than `top_k` tokens.
        """
        self._require("fill_mask")
        tokenizer = self.tokenizer
        if not 1 <= top_k <= tokenizer.vocab_size:
            raise ValueError(
                f"`top_k` must be between 1 and the {tokenizer.vocab_size} tokens of the vocabulary. Received: {top_k}"
            )
        texts = _texts("texts", texts)
        encoded = [tokenizer.encode_pair(text, None, self._length, parse_special_tokens=["[MASK]"]) for text in texts]
        for number, (ids, _) in enumerate(encoded):
            if tokenizer.mask_id not in ids:
                raise ValueError(
                    f"`texts[{number}]` must hold [MASK] within the model's length. Received: {texts[number]!r}"
                )
        results: list[list[list[tuple[str, float]]]] = [[]] * len(encoded)
        for indices, inputs in self._batches(self._rows(encoded)):
            masks = [np.flatnonzero(ids == tokenizer.mask_id) for ids in inputs["input_ids"]]
            positions = np.zeros((len(masks), max(map(len, masks))), np.int32)
            for row, found in enumerate(masks):
                positions[row, : len(found)] = found
            logits = self._forward(inputs | {"masked_lm_positions": positions})["masked_lm_logits"]
            top = BertPretrainer.likeliest_tokens(logits, tokenizer.vocab_size, top_k)
            scores, tokens = (tensor.numpy() for tensor in top)
            for row, index in enumerate(indices):
                results[index] = [
                    [
                        (tokenizer.tokens[token], float(score))
                        for token, score in zip(tokens[row, number], scores[row, number], strict=True)
                    ]
                    for number in range(len(masks[row]))
                ]
        return results

    @property
    def _length(self) -> int:
        return self.description.max_seq_length

    def _rows(self, encoded: Sequence[tuple[list[int], list[int]]]) -> EncodedExamples:
        ids, segments = [ids for ids, _ in encoded], [segments for _, segments in encoded]
        return EncodedExamples.from_lists(ids, segments, pad_id=self.tokenizer.pad_id, max_seq_length=self._length)

    def _batches(self, rows: EncodedExamples) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yield the indices of each batch's rows, and the encoder's inputs for them."""
        names = tuple(features.encoder_batch(None, None))
        for indices, batch in rows.batches(self.batch_size, fill=False):
            yield indices, {name: batch[name] for name in names}

    def _text_vectors(self, inputs: dict[str, Any], pooling: str, normalize: bool) -> Any:
        encoder = self.model
        if isinstance(encoder, keras.Model):
            encoder = without_padding(encoder if isinstance(encoder, BertEncoder) else encoder.encoder)
        operations = np if isinstance(encoder, LiteModel) else keras.ops
        return text_vectors(encoder(inputs), inputs, pooling, normalize=normalize, numpy=operations)

    def _tagged(self, number: int, text: str | Sequence[str]) -> TaggedExample:
        if isinstance(text, str):
            return TaggedExample(text, tuple(word_offsets(text, self.tokenizer.basic_tokenizer)))
        if not isinstance(text, list | tuple) or not all(isinstance(word, str) for word in text):
            raise ValueError(f"`texts[{number}]` must be a text or a list of words. Received: {text!r:.100}")
        return TaggedExample.from_words(list(text))

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


def _items(name: str, items: Sequence[Any]) -> list[Any]:
    if isinstance(items, str | bytes):
        raise ValueError(f"`{name}` must be a list of texts, not one text. Received: {items!r:.100}")
    return list(items)


def _texts(name: str, texts: Sequence[str]) -> list[str]:
    found = _items(name, texts)
    for number, text in enumerate(found):
        if not isinstance(text, str):
            raise ValueError(f"`{name}[{number}]` must be a text. Received: {text!r:.100}")
    return found


def _examples(texts: Sequence[str], text_pairs: Sequence[str] | None) -> list[TextExample]:
    first = _texts("texts", texts)
    if text_pairs is None:
        return [TextExample(text) for text in first]
    second = _texts("text_pairs", text_pairs)
    if len(second) != len(first):
        raise ValueError(f"`text_pairs` must be as many as `texts`. Received: {len(second)} and {len(first)}")
    return [TextExample(text, pair) for text, pair in zip(first, second, strict=True)]


def _without_label(example: Any) -> Any:
    """Return the example without its label, so that a label unknown to the model raises no error."""
    if isinstance(example, QuestionExample):
        return dataclasses.replace(example, answers=(), labelled=False)
    field = "tags" if isinstance(example, TaggedExample) else "label"
    return dataclasses.replace(example, **{field: None})


def load(path: str, batch_size: int = BATCH_SIZE) -> Predictor:
    """Return the predictor of a run's folder, of an export, or of published weights.

    >>> load("runs/classifier").classify(["a text"])  # doctest: +SKIP
    [{'label': 'positive', 'probabilities': {'negative': 0.1, 'positive': 0.9}}]

    The task decides which methods it has: `classify`, `score`, `tag`, `answer`, `fill_mask`, `embed` and `search`
    (`tasks.ModelKind.methods`).

    Args:
        path: a run's folder (the weights of the best evaluation if they were kept, else of the newest complete
            checkpoint); a SavedModel of `export_saved_model` or the folder of its versions; a `.tflite` file in it, the
            fastest for one short text; or published weights as in `load_pretrained`: a folder or a name of Hugging
            Face, a folder of Sentence Transformers, a checkpoint of Google, or a preset of KerasHub.
        batch_size: number of rows computed at a time.

    Raises:
        FileNotFoundError: nothing has this name, or there is no complete checkpoint.
        ValueError: files are damaged, weights are missing, or the model is not a BERT.
        ImportError: an export needs TensorFlow Text.
    """
    return Predictor(*read_model(path), batch_size=batch_size, source=str(path))
