"""The methods that turn texts into vectors, by an encoder alone or by the encoder of any other model."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bert_tf.models.pooling import TEXT_POOLINGS, check_pooling, text_vectors, unit_vectors
from bert_tf.serving.exported import ArrayModel, ExportedModel
from bert_tf.serving.index import PassageIndex, Reranker, build_index, check_top_k, load_index
from bert_tf.serving.methods.base import BasePredictor, texts_of
from bert_tf.tasks import MODEL_KINDS
from bert_tf.tasks.long_texts import CutReports, pooled, report_cut, rows_of_texts

LONG_TEXTS = ("cut", "windows")
"""The ways to embed a text that exceeds the model's length."""

_ADVICE = "With `long_texts=windows` their vectors are made of all their tokens"


class EmbeddingMethods(BasePredictor):
    """The methods that turn texts into vectors. A fine-tuned model uses its encoder."""

    def embed(
        self,
        texts: Sequence[str],
        pooling: str | None = None,
        normalize: bool | None = None,
        *,
        long_texts: str = "cut",
    ) -> np.ndarray:
        """Return a vector for each text.

        Args:
            texts: any number of texts.
            pooling: `mean`, the mean of the last block's vectors, `[CLS]` and `[SEP]` included; `cls`, the vector of
                `[CLS]`; or `pooler`, the pooled output. None for the model's own setting, by default `mean`.
            normalize: whether vectors are scaled to length 1. None for the model's own setting, by default False.
            long_texts: what becomes of a text that exceeds the model's length: `cut` keeps its beginning, with a
                warning that counts such texts; `windows` makes windows of it that overlap by a quarter, and takes the
                mean of their vectors before it is scaled.

        Returns:
            float32 [N, D].

        Raises:
            ValueError: the model is an export of a fine-tuned model, an item is not a string, or `pooling` or
                `long_texts` is not supported. A tagger and a model of question answering do not train a pooler.
        """
        self._require_encoder("embed")
        settings = self.description.embedding
        pooling = settings.pooling if pooling is None else pooling
        check_pooling(pooling, TEXT_POOLINGS)
        if pooling == "pooler" and not self._has_pooler:
            raise ValueError(f"`pooling` pooler needs a model with a pooler. Received: {self._described()}, without")
        normalize = settings.normalize if normalize is None else normalize
        if long_texts not in LONG_TEXTS:
            raise ValueError(f"`long_texts` must be {' or '.join(LONG_TEXTS)}. Received: {long_texts!r}")
        rows = rows_of_texts(texts_of("texts", texts), self.tokenizer, self._length, long_texts=long_texts)
        report_cut(rows.num_cut, len(rows.sources), self._length, advice=_ADVICE)
        vectors = np.zeros((len(rows.sources), self.description.model.hidden_size), np.float32)
        for indices, inputs in self._batches(self._rows(rows.input_ids, rows.segment_ids)):
            vectors[indices] = np.asarray(self._vectors(inputs, pooling))
        of_texts = pooled(vectors, rows.sources)
        return unit_vectors(of_texts, np) if normalize else of_texts

    def search(
        self,
        queries: Sequence[str],
        passages: Iterable[str | Mapping[str, Any]],
        top_k: int = 10,
        *,
        long_texts: str = "cut",
        reranker: Reranker | None = None,
        candidates: int = 100,
    ) -> list[list[dict[str, Any]]]:
        """Return the passages that are nearest to each query, by the cosine of their vectors.

        A model that was trained to embed without normalization, such as DPR, compares by the dot product instead.
        For passages that are searched again, `index` keeps their vectors.

        Args:
            queries: any number of texts.
            passages: at least one text, or dictionary with `text` and other fields; all are compared with all queries.
            top_k: number of passages to return for each query, if there are as many.
            long_texts: what becomes of queries and passages that exceed the model's length, as in `embed`.
            reranker: a model with `rerank`, which orders the nearest passages anew, as in `PassageIndex.search`.
            candidates: number of passages that it orders for each query, at least `top_k`.

        Returns:
            For each query, nearest first, `{"index": index in passages, "passage": text, "score": number}` and the
            passage's other fields. Passages that are equally near keep their order.

        Raises:
            ValueError: the model is an export of a fine-tuned model, an item is not a string, there is no passage,
                `top_k` is below 1, `candidates` is below `top_k`, or `long_texts` is not supported.
        """
        self._require_encoder("search")
        queries = texts_of("queries", queries)
        check_top_k(top_k)
        cut = CutReports()
        with cut.collecting():
            index = build_index(self, passages, long_texts=long_texts, is_kept=False)
            found = index.search(queries, top_k, reranker=reranker, candidates=candidates)
        cut.report()
        return found

    def index(
        self,
        passages: Iterable[str | Mapping[str, Any]],
        *,
        long_texts: str = "cut",
        dtype: str = "float32",
        approximate: bool = False,
    ) -> PassageIndex:
        """Return an index of passages, which computes their vectors once for any number of searches.

        >>> index = predictor.index(["a passage", "another one"])  # doctest: +SKIP
        >>> index.search(["a query"], top_k=1)  # doctest: +SKIP
        >>> index.save("index")  # doctest: +SKIP

        Args:
            passages: at least one text, or dictionary with `text` and other fields, which JSON can hold and answers
                return.
            long_texts: what becomes of queries and passages that exceed the model's length, as in `embed`.
            dtype: the type of the stored vectors; `float16` halves their size.
            approximate: whether near passages are found by a graph (faiss) rather than by comparing a query with each
                passage. Many passages are searched faster, and some may be missed; scores are exact.

        Raises:
            ValueError: the model is an export of a fine-tuned model, there is no passage, an item is neither a text
                nor such a dictionary, or `long_texts` or `dtype` is not supported.
            ImportError: `approximate` is True, and faiss is not installed.
        """
        self._require_encoder("index")
        return build_index(self, passages, long_texts=long_texts, dtype=dtype, approximate=approximate)

    def load_index(self, path: str, *, exact: bool = False) -> PassageIndex:
        """Return an index that `PassageIndex.save` wrote. Its vectors are memory-mapped if the folder is local.

        Args:
            path: the index's folder.
            exact: whether a query is compared with each passage although the index has a graph.

        Raises:
            FileNotFoundError: there is no index, or a file of it is missing.
            ValueError: another model made the index, or a file of it is damaged or too short.
            ImportError: the index has a graph, `exact` is False, and faiss is not installed.
        """
        self._require_encoder("load_index")
        return load_index(path, self, exact=exact)

    def _require_encoder(self, method: str) -> None:
        if "embed" not in MODEL_KINDS[self.description.task].methods and isinstance(self.model, ExportedModel):
            raise ValueError(
                f"`{method}` needs the run or the published weights of a fine-tuned model, whose exports return the "
                f"answers of the task only. Received: {self._described()}, exported"
            )

    @property
    def _has_pooler(self) -> bool:
        """True if the pooler has trained weights. A task whose head does not read the pooler does not train it."""
        is_trained = self.task is None or "encoder/pooler" in self.task.heads
        return self.description.has_pooler and is_trained

    @functools.cached_property
    def _vectors(self) -> Any:
        if isinstance(self.model, ArrayModel):
            return self._array_vectors
        from bert_tf.serving.compiled import compiled_vectors

        return compiled_vectors(self.model)

    def _array_vectors(self, inputs: dict[str, Any], pooling: str) -> np.ndarray:
        return text_vectors(self.model(inputs), inputs, pooling, normalize=False, numpy=np)
