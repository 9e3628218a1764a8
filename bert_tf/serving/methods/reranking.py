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
        if top_k is not None:
            check_top_k(top_k)
        if isinstance(query, str):
            return self._ranked([query], [checked_passages(passages)], top_k)[0]
        queries = texts_of("query", query)
        lists = [checked_passages(some) for some in items_of("passages", passages)]
        if len(lists) != len(queries):
            raise ValueError(
                f"`passages` must be a list for each of {len(queries)} queries. Received: {len(lists)} lists"
            )
        return self._ranked(queries, lists, top_k)

    def _ranked(
        self, queries: list[str], lists: list[list[str | dict[str, Any]]], top_k: int | None
    ) -> list[list[dict[str, Any]]]:
        examples = [
            RerankingExample(query, tuple(each if isinstance(each, str) else each["text"] for each in some))
            for query, some in zip(queries, lists, strict=True)
        ]
        return [
            [answer | _others(some[answer["index"]]) for answer in found["passages"][:top_k]]
            for found, some in zip(self.predict(examples), lists, strict=True)
        ]


def _others(passage: str | dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a passage beside its text."""
    return {} if isinstance(passage, str) else {name: value for name, value in passage.items() if name != "text"}
