"""The method of rerankers, which order the passages of a query."""

from collections.abc import Sequence
from typing import Any

from bert_tf.examples import RerankingExample
from bert_tf.serving.index import check_top_k, checked_passages
from bert_tf.serving.methods.base import BasePredictor, items_of, texts_of


class RerankingMethods(BasePredictor):
    """The method of rerankers."""

    def rerank(self, query: str | Sequence[str], passages: Sequence[Any], top_k: int | None = None) -> list[Any]:
        """Return the passages of a query, best first, by a model that reads the query and a passage together.

        Args:
            query: a text, or a list of queries.
            passages: the texts to order, or dictionaries with `text` and other fields; for a list of queries, a list of
                passages for each.
            top_k: the number of passages to return for each query, if there are as many; None for all.

        Returns:
            `{"index": index in passages, "passage": text, "score": number}` and the passage's other fields, for each
            passage; for a list of queries, such a list for each. Passages of the same score keep their order. A score
            is a probability, or the model's output itself (`task.activation`).

        Raises:
            ValueError: the model is no reranker, an item is not a text, the numbers of queries and of lists of passages
                differ, or `top_k` is below 1.
        """
        self._require("rerank")
        queries, lists = lists_of_passages(query, passages, top_k)
        examples = [
            RerankingExample(each, tuple(text_of(passage) for passage in some))
            for each, some in zip(queries, lists, strict=True)
        ]
        found = [
            ranked(some, [(passage["index"], passage["score"]) for passage in answer["passages"][:top_k]])
            for answer, some in zip(self.predict(examples), lists, strict=True)
        ]
        return found[0] if isinstance(query, str) else found


Passage = str | dict[str, Any]


def lists_of_passages(
    query: str | Sequence[str], passages: Sequence[Any], top_k: int | None
) -> tuple[list[str], list[list[Passage]]]:
    """Return the queries and the passages of each. Arguments and errors are those of `RerankingMethods.rerank`."""
    if top_k is not None:
        check_top_k(top_k)
    if isinstance(query, str):
        return [query], [checked_passages(passages)]
    queries = texts_of("query", query)
    lists = [checked_passages(some) for some in items_of("passages", passages)]
    if len(lists) != len(queries):
        raise ValueError(f"`passages` must be a list for each of {len(queries)} queries. Received: {len(lists)} lists")
    return queries, lists


def text_of(passage: Passage) -> str:
    """Return the text of a passage."""
    return passage if isinstance(passage, str) else passage["text"]


def ranked(passages: Sequence[Passage], scores: Sequence[tuple[int, float]]) -> list[dict[str, Any]]:
    """Return the answer of `RerankingMethods.rerank` for one query.

    Args:
        passages: its passages.
        scores: the index and the score of each passage of the answer, best first.
    """
    found = []
    for index, score in scores:
        passage = passages[index]
        others = {} if isinstance(passage, str) else {name: value for name, value in passage.items() if name != "text"}
        found.append({"index": index, "passage": text_of(passage), "score": score} | others)
    return found
