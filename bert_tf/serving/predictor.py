"""A trained model behind the verb of its task: texts in, answers out, in Python."""

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
"""EncodedExamples computed at a time, by default."""


class Predictor:
    """A model, its tokenizer and its labels.

    Any number of texts may be asked at once: they are computed in batches of like length, and answered in the caller's
    order.

    Args:
        model: `BertEncoder`, `BertPretrainer`, a fine-tuned model, or what stands for one (`sources.ExportedModel`).
        description: of the run that trained it.
        tokenizer: of its vocabulary.
        batch_size: rows computed at a time.
        source: where it comes from, for messages.
    """

    def __init__(
        self,
        model: Any,
        description: ModelDescription,
        tokenizer: WordPieceTokenizer,
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
        if not isinstance(model, LiteModel):  # to reach LiteRT through TensorFlow takes as long as a short text
            # An export leaves padding out by itself.
            call = without_padding(model) if isinstance(model, keras.Model) else model
            self._forward = tf.function(call, reduce_retracing=True)
            self._vectors = tf.function(self._text_vectors, reduce_retracing=True)

    def classify(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The class of each text, or pair of texts, and the probabilities of all classes.

        Args:
            texts: any number.
            text_pairs: the second texts, as many, for a model of pairs.

        Returns:
            For each text, in the caller's order, `{"label": name, "probabilities": {name: probability}}`; of a
            multi-label model `{"labels": [name, ...], "probabilities": {name: probability}}`, each label's own.

        Raises:
            ValueError: the model is no classifier, an item is no text, or the numbers of texts differ.
        """
        self._require("classify")
        return self.predict(_examples(texts, text_pairs))

    def score(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> list[float]:
        """The number that a regression model gives each text, or pair of texts.

        Raises:
            ValueError: the model is none of regression, an item is no text, or the numbers of texts differ.
        """
        self._require("score")
        return [answer["value"] for answer in self.predict(_examples(texts, text_pairs))]

    def tag(self, texts: Sequence[str | Sequence[str]]) -> list[dict[str, Any]]:
        """The tags of each text's words, and the spans that they make.

        Args:
            texts: any number, each a text, whose words are then what is between spaces and punctuation (as
                `BasicTokenizer` cuts it; each ideograph is a word); or a list of words.

        Returns:
            For each text, `{"words": [...], "tags": [...], "spans": [{"label", "text", "start", "end"}]}`; start and
            end count characters of the text (words that are given are joined by spaces).

        Raises:
            ValueError: the model is no tagger, or an item is neither a text nor a list of words.
        """
        self._require("tag")
        return self.predict([self._tagged(number, text) for number, text in enumerate(_items("texts", texts))])

    def answer(self, questions: Sequence[str], contexts: Sequence[str]) -> list[dict[str, Any]]:
        """The answer of each question, a part of its context.

        Returns:
            For each question, `answer` ("" for none), `start`, `end` in the context, and `n_best`; see
            `tasks.question_answering.QuestionAnswering.answers`.

        Raises:
            ValueError: the model is none of question answering, an item is no text, or the numbers differ.
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
        """The answers of a fine-tuned model to the examples of its task (`bert_tf.examples`), in their order.

        Raises:
            ValueError: the model is none of a fine-tuning task.
        """
        if self.task is None:
            raise ValueError(f"`predict` needs a fine-tuned model. Received: {self._told()}")
        labels = self.description.labels
        unlabelled = [_without_label(example) for example in examples]
        rows = self.task.encode(unlabelled, labels, self.tokenizer)
        outputs: list[Any] = [None] * len(rows)
        for indices, inputs in self._batches(rows):
            found = tf.nest.map_structure(np.asarray, self._forward(inputs))
            for place, index in enumerate(indices):
                outputs[index] = tf.nest.map_structure(lambda array, place=place: array[place], found)
        return self.task.answers(unlabelled, rows, outputs, labels=labels)

    def embed(self, texts: Sequence[str], pooling: str | None = None, normalize: bool | None = None) -> np.ndarray:
        """A vector for each text.

        Args:
            texts: any number; longer ones are cut to the model's length.
            pooling: `mean` of the last block's vectors, `[CLS]` and `[SEP]` included; `cls`, the vector of `[CLS]`; or
                `pooler`, its pooled output. None: as a folder of Sentence Transformers says, else `mean`.
            normalize: whether vectors are brought to length 1. None: as such a folder says, else not.

        Returns:
            float32 [N, D].

        Raises:
            ValueError: the model is none that embeds, an item is no text, or there is no such pooling or no pooler.
        """
        self._require("embed")
        settings = self.description.embedding
        pooling = settings.pooling if pooling is None else pooling
        check_pooling(pooling, TEXT_POOLINGS)
        if pooling == "pooler" and not self.description.has_pooler:
            raise ValueError(f"`pooling` pooler needs a model with a pooler. Received: {self._told()}, without")
        normalize = settings.normalize if normalize is None else normalize
        rows = self._rows([self.tokenizer.encode_pair(text, None, self._length) for text in _texts("texts", texts)])
        vectors = np.zeros((len(rows), self.description.model.hidden_size), np.float32)
        for indices, inputs in self._batches(rows):
            vectors[indices] = np.asarray(self._vectors(inputs, pooling, bool(normalize)))
        return vectors

    def search(self, queries: Sequence[str], passages: Sequence[str], top_k: int = 10) -> list[list[dict[str, Any]]]:
        """The passages that are nearest to each query, by the cosine of their vectors.

        Where the model's vectors are not of length 1 by its own settings, as those of DPR, by their product.

        Args:
            queries: any number.
            passages: at least one; all are compared with all queries.
            top_k: how many are wanted of each query; there may be fewer passages.

        Returns:
            For each query, nearest first, `{"index": place in passages, "passage": text, "score": number}`.

        Raises:
            ValueError: the model is none that embeds, an item is no text, there is no passage, or `top_k` is less
                than 1.
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
            [{"index": place, "passage": passages[place], "score": score} for place, score in nearest]
            for nearest in found
        ]

    def fill_mask(self, texts: Sequence[str], top_k: int = 5) -> list[list[list[tuple[str, float]]]]:
        """The likeliest tokens at each `[MASK]` of each text.

        Args:
            texts: any number, with `[MASK]` where a token is wanted.
            top_k: tokens for each mask.

        Returns:
            For each text, for each of its masks within the model's length, (token, probability) pairs, likeliest first.

        Raises:
            ValueError: the model has no masked-LM head; an item is no text, or has no `[MASK]`; there are fewer tokens
                than `top_k`.
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
            for row, places in enumerate(masks):
                positions[row, : len(places)] = places
            logits = self._forward(inputs | {"masked_lm_positions": positions})["masked_lm_logits"]
            top = BertPretrainer.likeliest_tokens(logits, tokenizer.vocab_size, top_k)
            scores, tokens = (tensor.numpy() for tensor in top)
            for row, index in enumerate(indices):
                results[index] = [
                    [
                        (tokenizer.tokens[token], float(score))
                        for token, score in zip(tokens[row, place], scores[row, place], strict=True)
                    ]
                    for place in range(len(masks[row]))
                ]
        return results

    @property
    def _length(self) -> int:
        return self.description.max_seq_length

    def _rows(self, encoded: Sequence[tuple[list[int], list[int]]]) -> EncodedExamples:
        ids, segments = [ids for ids, _ in encoded], [segments for _, segments in encoded]
        return EncodedExamples.from_lists(
            ids, segments, pad_id=self.tokenizer.pad_id, max_seq_length=self._length
        )

    def _batches(self, rows: EncodedExamples) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Numbers of rows, and the encoder's inputs for them."""
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

    def _told(self) -> str:
        return f"{self.source}, a model for {self.description.task}"

    def _require(self, verb: str) -> None:
        own = MODEL_KINDS[self.description.task].methods
        if verb not in own:
            tasks = " or ".join(name for name, kind in MODEL_KINDS.items() if verb in kind.methods)
            raise ValueError(
                f"`{verb}` needs a model for {tasks}. Received: {self._told()}, which answers `{'` and `'.join(own)}`"
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
    """The example as it would be read without labels: an unknown label is no reason not to answer."""
    if isinstance(example, QuestionExample):
        return dataclasses.replace(example, answers=(), labelled=False)
    field = "tags" if isinstance(example, TaggedExample) else "label"
    return dataclasses.replace(example, **{field: None})


def load(path: str, batch_size: int = BATCH_SIZE) -> Predictor:
    """The predictor of a run's folder, of an export, or of published weights.

    >>> load("runs/classifier").classify(["a text"])  # doctest: +SKIP
    [{'label': 'positive', 'probabilities': {'negative': 0.1, 'positive': 0.9}}]

    Its verb is that of the task: `classify`, `score`, `tag`, `answer`, `fill_mask`, `embed`, `search` (`tasks.ModelKind.methods`).

    Args:
        path: a run's folder (the best evaluation's weights, where they were kept, else the newest complete
            checkpoint); a SavedModel of `export_saved_model`, or the folder of its versions; a `.tflite` file in it,
            the quickest for one short text; or whatever `load_pretrained` takes: a folder or name of Hugging Face,
            one of Sentence Transformers, a checkpoint of Google, a preset of KerasHub.
        batch_size: rows computed at a time.

    Raises:
        FileNotFoundError: there is nothing of this name, or no complete checkpoint.
        ValueError: files are damaged, weights are missing, or it is no BERT.
        ImportError: an export needs TensorFlow Text.
    """
    return Predictor(*read_model(path), batch_size=batch_size, source=str(path))
