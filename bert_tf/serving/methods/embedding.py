"""The methods that turn texts into vectors, by an encoder alone or by the encoder of any other model."""

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bert_tf.models.encoder import BertEncoder
from bert_tf.models.pooling import TEXT_POOLINGS, check_pooling, text_vectors
from bert_tf.scoring.retrieval import rank
from bert_tf.serving.litert import LiteModel
from bert_tf.serving.methods.base import BasePredictor, texts_of
from bert_tf.serving.padding_free import without_padding
from bert_tf.tasks import MODEL_KINDS


class EmbeddingMethods(BasePredictor):
    """The methods that turn texts into vectors. A fine-tuned model uses its encoder."""

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
            ValueError: the model is an export of a fine-tuned model, an item is not a string, or `pooling` is not
                supported. A tagger and a model of question answering do not train a pooler.
        """
        self._require_encoder("embed")
        settings = self.description.embedding
        pooling = settings.pooling if pooling is None else pooling
        check_pooling(pooling, TEXT_POOLINGS)
        if pooling == "pooler" and not self._has_pooler:
            raise ValueError(f"`pooling` pooler needs a model with a pooler. Received: {self._described()}, without")
        normalize = settings.normalize if normalize is None else normalize
        rows = self._rows([self.tokenizer.encode_pair(text, None, self._length) for text in texts_of("texts", texts)])
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
            ValueError: the model is an export of a fine-tuned model, an item is not a string, there is no passage, or
                `top_k` is below 1.
        """
        self._require_encoder("search")
        queries, passages = texts_of("queries", queries), texts_of("passages", passages)
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

    def _require_encoder(self, method: str) -> None:
        if method not in MODEL_KINDS[self.description.task].methods and not isinstance(self.model, keras.Model):
            raise ValueError(
                f"`{method}` needs the run or the published weights of a fine-tuned model, whose exports return the "
                f"answers of the task only. Received: {self._described()}, exported"
            )

    @property
    def _has_pooler(self) -> bool:
        """True if the pooler has trained weights. A task whose head does not read it leaves it as it was."""
        is_trained = self.task is None or "encoder/pooler" in self.task.heads
        return self.description.has_pooler and is_trained

    @functools.cached_property
    def _vectors(self) -> Any:
        return (
            self._text_vectors
            if isinstance(self.model, LiteModel)
            else tf.function(self._text_vectors, reduce_retracing=True)
        )

    def _text_vectors(self, inputs: dict[str, Any], pooling: str, normalize: bool) -> Any:
        encoder = self.model
        if isinstance(encoder, keras.Model):
            encoder = without_padding(encoder if isinstance(encoder, BertEncoder) else encoder.encoder)
        operations = np if isinstance(encoder, LiteModel) else keras.ops
        return text_vectors(encoder(inputs), inputs, pooling, normalize=normalize, numpy=operations)
