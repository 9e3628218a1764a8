"""The index of passages: their vectors are computed once, and searched by any number of queries."""

import hashlib
import json
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from bert_tf.runs.descriptions import ModelDescription
from bert_tf.scoring.retrieval import nearest, nearest_among
from bert_tf.serving import index_files
from bert_tf.serving.exported import ExportedModel
from bert_tf.serving.index_files import DTYPES, IndexDescription, IndexedModel
from bert_tf.serving.methods.base import items_of, texts_of
from bert_tf.serving.neighbour_graph import NeighbourGraph
from bert_tf.tasks.long_texts import CutReports
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files, json_text

_TOGETHER = 8192
_MERGED_BELOW = 1 << 14  # rows of the last part to which new rows are appended
_RESERVED = ("index", "passage", "score")
_PROBE_TOKENS = 8
_LARGEST_OF_DIGEST = 1 << 13  # numbers in a bias or in a scale of normalization


class Embedder(Protocol):
    """The parts of a predictor that an index uses."""

    model: Any
    description: ModelDescription
    tokenizer: WordPieceTokenizer
    source: str

    def embed(self, texts: Sequence[str], *, normalize: bool | None = None, long_texts: str = "cut") -> np.ndarray:
        """Return a vector for each text."""


class Reranker(Protocol):
    """The part of a predictor that orders what a search has found."""

    def rerank(self, query: Sequence[str], passages: Sequence[Any], top_k: int | None = None) -> list[Any]:
        """Return the passages of each query, best first."""


class PassageIndex:
    """The passages of a search with their vectors, which `Predictor.index` makes and `Predictor.load_index` reads.

    Several threads may search it, while one adds passages.

    Args:
        predictor: the model that made the vectors, which makes those of queries.
        passages: for each passage its text, or a dictionary with `text` and other fields.
        parts: the vectors, in arrays [P', D] of float32 or float16.
        graph: the graph of approximate search; None to compare each query with every passage.
        long_texts: what becomes of texts that exceed the model's length, as in `Predictor.embed`.
        model: the identity of the model; None for an index that will not be saved.
    """

    def __init__(
        self,
        predictor: Embedder,
        passages: list[str | dict[str, Any]],
        parts: list[np.ndarray],
        *,
        graph: NeighbourGraph | None = None,
        long_texts: str = "cut",
        model: IndexedModel | None = None,
    ) -> None:
        self._predictor = predictor
        self._passages = passages
        self._parts = parts
        self._graph = graph
        self._long_texts = long_texts
        self._model = model
        self._digest = None if model is None else weights_digest(predictor)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._passages)

    def __repr__(self) -> str:
        kind = "approximate" if self.approximate else "exact"
        return (
            f"<PassageIndex of {len(self)} passages, {kind}, {self.dtype} [{self.dimension}], {self._predictor.source}>"
        )

    @property
    def dimension(self) -> int:
        """The size of a vector."""
        return int(self._parts[0].shape[1])

    @property
    def dtype(self) -> str:
        """The type of the stored vectors, `float32` or `float16`."""
        return str(self._parts[0].dtype)

    @property
    def approximate(self) -> bool:
        """True if near passages are found by a graph, which may miss some."""
        return self._graph is not None

    def search(
        self, queries: Sequence[str], top_k: int = 10, *, reranker: Reranker | None = None, candidates: int = 100
    ) -> list[list[dict[str, Any]]]:
        """Return the passages that are nearest to each query, as `Predictor.search` does.

        Args:
            queries: any number of texts.
            top_k: number of passages to return for each query, if there are as many.
            reranker: a model with `rerank`, which orders the nearest passages anew; None for their order.
            candidates: number of passages that it orders for each query, at least `top_k`.

        Returns:
            For each query, nearest first, `{"index": index of the passage, "passage": text, "score": number}` and the
            passage's other fields. With a reranker, the score is its own.

        Raises:
            ValueError: an item is not a string, `top_k` is below 1, `candidates` is below `top_k`, `reranker` cannot
                rerank, or the model was trained since.
        """
        queries = texts_of("queries", queries)
        check_top_k(top_k)
        if reranker is not None:
            if candidates < top_k:
                raise ValueError(f"`candidates` must be at least `top_k`, {top_k}. Received: {candidates}")
            return _reranked(reranker, queries, self.search(queries, candidates), top_k)
        if not queries:
            return []
        self._check_weights()
        vectors = vectors_of(self._predictor, queries, long_texts=self._long_texts)
        with self._lock:
            parts, graph = list(self._parts), self._graph
            near = None if graph is None else graph.candidates(vectors, top_k)
        found = nearest(vectors, parts, top_k) if near is None else nearest_among(vectors, parts, near, top_k)
        return [[self._answer(index, score) for index, score in each] for each in found]

    def _answer(self, index: int, score: float) -> dict[str, Any]:
        passage = self._passages[index]
        if isinstance(passage, str):
            return {"index": index, "passage": passage, "score": score}
        fields = {name: value for name, value in passage.items() if name != "text"}
        return {"index": index, "passage": passage["text"], "score": score} | fields

    def add(self, passages: Iterable[str | Mapping[str, Any]]) -> None:
        """Add passages behind those that the index has. A saved index changes only when it is saved again.

        Args:
            passages: texts, or dictionaries with `text` and other fields, as for `Predictor.index`.

        Raises:
            ValueError: an item is neither, or the model was trained since. Nothing is added then.
        """
        added = checked_passages(passages)
        if not added:
            return
        self._check_weights()
        vectors = passage_vectors(self._predictor, added, long_texts=self._long_texts, dtype=self.dtype)
        with self._lock:
            if self._graph is not None:
                self._graph.add(vectors)
            self._passages += added
            last = self._parts[-1]
            if len(last) < _MERGED_BELOW:
                self._parts[-1] = np.concatenate([last, vectors])
            else:
                self._parts.append(vectors)

    def _check_weights(self) -> None:
        if self._digest is not None and weights_digest(self._predictor) != self._digest:
            raise ValueError(
                "the model must have the weights that made the index: they have changed since, so make the index "
                f"again. Received: {self!r}"
            )

    def save(self, path: str, *, overwrite: bool = False) -> None:
        """Write the index to a folder, whole or not at all.

        Args:
            path: a new or an empty folder, local or remote.
            overwrite: whether an index at `path` is replaced.

        Raises:
            OSError: `path` holds something, or cannot be written.
        """
        assert self._model is not None, "an index that is not returned to the caller"
        with self._lock:
            parts, passages = list(self._parts), list(self._passages)
            graph = None if self._graph is None else self._graph.to_bytes()
        description = IndexDescription(
            format_version=index_files.FORMAT_VERSION,
            model=self._model,
            long_texts=self._long_texts,
            dtype=self.dtype,
            approximate=graph is not None,
            count=len(passages),
            files=(),
        )
        objects = ({"text": each} if isinstance(each, str) else each for each in passages)
        index_files.write_index(str(path), description, parts=parts, passages=objects, graph=graph, overwrite=overwrite)


def _reranked(
    reranker: Reranker, queries: Sequence[str], found: Sequence[Sequence[dict[str, Any]]], top_k: int
) -> list[list[dict[str, Any]]]:
    """Return the answers of a search in the order of a reranker, with its scores."""
    ranked = reranker.rerank(queries, [[each["passage"] for each in some] for some in found], top_k)
    return [
        [some[answer["index"]] | {"score": answer["score"]} for answer in answers]
        for some, answers in zip(found, ranked, strict=True)
    ]


def build_index(
    predictor: Embedder,
    passages: Iterable[str | Mapping[str, Any]],
    *,
    long_texts: str = "cut",
    dtype: str = "float32",
    approximate: bool = False,
    is_kept: bool = True,
) -> PassageIndex:
    """Return the index of passages. The arguments and errors are those of `Predictor.index`.

    Args:
        predictor: the model.
        passages: at least one passage.
        long_texts: what becomes of texts that exceed the model's length.
        dtype: the type of the stored vectors.
        approximate: whether a graph is built.
        is_kept: whether the index may be saved, for which the model is identified by one text more.
    """
    if dtype not in DTYPES:
        raise ValueError(f"`dtype` must be {' or '.join(DTYPES)}. Received: {dtype!r}")
    checked = checked_passages(passages)
    if not checked:
        raise ValueError("`passages` must have at least one text. Received: none")
    graph = NeighbourGraph(predictor.description.model.hidden_size) if approximate else None
    vectors = passage_vectors(predictor, checked, long_texts=long_texts, dtype=dtype)
    if graph is not None:
        graph.add(vectors)
    model = identity_of(predictor) if is_kept else None
    return PassageIndex(predictor, checked, [vectors], graph=graph, long_texts=long_texts, model=model)


def load_index(path: str, predictor: Embedder, *, exact: bool = False) -> PassageIndex:
    """Return the index of a folder. The arguments and errors are those of `Predictor.load_index`."""
    path = str(path)
    description = index_files.read_description(path)
    index_files.check_sizes(path, description)
    description.model.check_same(identity_of(predictor), path, predictor.source)
    index_files.check_contents(path, description)
    vectors = index_files.read_vectors(path, description)
    graph = None
    if description.approximate and not exact:
        graph = NeighbourGraph.from_bytes(files.read_bytes(description.path_of(path, index_files.GRAPH)))
    objects = index_files.read_passages(path, description)
    return PassageIndex(
        predictor,
        [each if len(each) > 1 else each["text"] for each in objects],
        [vectors],
        graph=graph,
        long_texts=description.long_texts,
        model=description.model,
    )


def check_top_k(top_k: int) -> None:
    """Raise a ValueError if `top_k` is below 1."""
    if top_k < 1:
        raise ValueError(f"`top_k` must be at least 1. Received: {top_k}")


def checked_passages(passages: Iterable[str | Mapping[str, Any]]) -> list[str | dict[str, Any]]:
    """Return the passages in the form in which an index keeps and writes them.

    Raises:
        ValueError: an item is neither a text nor a dictionary with `text`, a field has the name of an answer's own,
            or JSON has no form for it.
    """
    return [_checked_passage(number, each) for number, each in enumerate(items_of("passages", passages))]  # type: ignore[arg-type]


def _checked_passage(number: int, passage: Any) -> str | dict[str, Any]:
    name = f"`passages[{number}]`"
    text = passage.get("text") if isinstance(passage, Mapping) else passage
    if not isinstance(text, str):
        raise ValueError(f"{name} must be a text, or a dictionary with a `text`. Received: {passage!r:.100}")
    taken = [field for field in _RESERVED if isinstance(passage, Mapping) and field in passage]
    if taken:
        raise ValueError(f"{name} must have no field {taken[0]!r}, which an answer has. Received: {passage!r:.100}")
    try:
        written = json_text.dumps(passage)
        written.encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must have a form in JSON ({error}). Received: {passage!r:.100}") from None
    # What is read from a saved index is then what was there before.
    return text if passage is text or len(passage) == 1 else json.loads(written)


def passage_vectors(
    predictor: Embedder, passages: Sequence[str | dict[str, Any]], *, long_texts: str, dtype: str
) -> np.ndarray:
    """Return the vectors of passages, [P, D], computed in parts so that their tokens need little memory.

    Raises:
        ValueError: a vector has numbers that are not finite, in float16 because they are too large.
    """
    texts = [each if isinstance(each, str) else each["text"] for each in passages]
    vectors = np.zeros((len(texts), predictor.description.model.hidden_size), dtype)
    cut = CutReports()
    for start in range(0, len(texts), _TOGETHER):
        with cut.collecting(), np.errstate(over="ignore"):
            some = vectors_of(predictor, texts[start : start + _TOGETHER], long_texts=long_texts)
            vectors[start : start + len(some)] = some
        bad = np.flatnonzero(~np.isfinite(vectors[start : start + len(some)]).all(axis=1))
        if len(bad):
            raise ValueError(
                f"`passages[{start + bad[0]}]` has a vector that is not finite in {dtype}, by {predictor.source}"
            )
    cut.report()
    return vectors


def vectors_of(predictor: Embedder, texts: Sequence[str], *, long_texts: str) -> np.ndarray:
    """Return the vectors by which a model compares texts: of length 1, unless it compares by the dot product."""
    by_cosine = predictor.description.embedding.similarity == "cosine"
    return predictor.embed(texts, normalize=by_cosine, long_texts=long_texts)


def identity_of(predictor: Embedder) -> IndexedModel:
    """Return the identity of a predictor's model, by which an index of another model is refused."""
    tokens = predictor.tokenizer.tokens
    places = np.linspace(0, len(tokens) - 1, _PROBE_TOKENS).astype(int)
    text = " ".join(tokens[place] for place in places)
    with CutReports().collecting():  # a probe that exceeds the model's length is no concern of the user
        [probe] = vectors_of(predictor, [text], long_texts="cut")
    return IndexedModel(
        vocab_hash=predictor.tokenizer.vocab_hash,
        max_seq_length=predictor.description.max_seq_length,
        embedding=predictor.description.embedding,
        probe=tuple(probe.tolist()),
    )


def weights_digest(predictor: Embedder) -> str | None:
    """Return a digest of the encoder's small weights, which any training changes; None for an export, which has none.

    It takes a few milliseconds, so that each search can see whether a Keras model was trained in between.
    """
    if isinstance(predictor.model, ExportedModel):
        return None
    from bert_tf.models.weights import named_weights

    digest = hashlib.sha256()
    for name, weight in named_weights(predictor.model).items():
        if name.startswith("encoder/") and math.prod(weight.shape) <= _LARGEST_OF_DIGEST:
            digest.update(weight.numpy().tobytes())
    return digest.hexdigest()
