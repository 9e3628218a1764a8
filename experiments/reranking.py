"""The re-ranking of a run of TREC by a model, and the table of its scores."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from bert_tf.scoring.retrieval import ranking_scores
from bert_tf.tasks.long_texts import CutReports
from data_pipelines import trec

_QUERIES_TOGETHER = 64

Ranking = tuple[str, list[str], list[float]]
"""The id of a query, and the ids and the scores of its documents, best first."""


def reranked(
    predictor: Any, run: str, *, queries: str, collection: str, depth: int
) -> Iterator[tuple[trec.RankedQuery, Ranking]]:
    """Yield each query of a run as it was, and with its first documents in the order of a reranker.

    The other documents follow in the order that they had, with scores below. The run is read as it is used.

    Args:
        predictor: the reranker.
        run: the file of the run.
        queries: the file of the queries' texts.
        collection: the file of the documents' texts.
        depth: the number of documents that are re-ranked for each query.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file is damaged, or names an id that the texts lack. The message names file and line.
    """
    query_texts, texts = trec.read_texts(queries), trec.read_texts(collection)
    cut = CutReports()
    found = trec.iterate_run(run)
    while some := list(itertools.islice(found, _QUERIES_TOGETHER)):
        asked = [trec.text_of(query_texts, each.query, source=each.sources[0], path=queries) for each in some]
        passages = [
            [
                trec.text_of(texts, name, source=source, path=collection)
                for name, source in zip(each.documents, each.sources, strict=True)
            ][:depth]
            for each in some
        ]
        with cut.collecting():
            answers = predictor.rerank(asked, passages)
        for each, ranked in zip(some, answers, strict=True):
            scores = [answer["score"] for answer in ranked]
            others = each.documents[len(ranked) :]
            scores += [min(scores) - number for number in range(1, len(others) + 1)]
            yield each, (each.query, [each.documents[answer["index"]] for answer in ranked] + others, scores)
    cut.report()


class RunScores:
    """The scores of a run before and after its re-ranking.

    Args:
        qrels: the file of the judgements.
    """

    def __init__(self, qrels: str) -> None:
        judged = trec.read_qrels(qrels)
        self._judged = {query: own for query, own in judged.items() if any(own.values())}
        if not self._judged:
            raise ValueError(f"`qrels` must have a document of a relevance above 0. Received: {qrels!r}, without")
        self._found: dict[str, dict[str, list[float]]] = {"before": {}, "after": {}}

    def add(self, query: str, before: list[str], after: list[str]) -> None:
        """Count the documents of a query, best first. A query that is not judged does not count."""
        for name, documents in (("before", before), ("after", after)):
            if query in self._judged:
                self._found[name][query], _ = trec.relevances_of(documents, self._judged[query])

    def table(self) -> list[str]:
        """Return the lines of the table. A judged query that the run lacks counts as one without documents."""
        scores = {name: self._of(found) for name, found in self._found.items()}
        lines = [f"{len(self._judged)} judged queries", f"{'':<14} {'before':>8} {'after':>8}"]
        return lines + [
            f"{name:<14} {scores['before'][name]:>8.4f} {scores['after'][name]:>8.4f}" for name in scores["after"]
        ]

    def _of(self, found: Mapping[str, list[float]]) -> dict[str, float]:
        rankings = [found.get(query, []) for query in self._judged]
        return ranking_scores(rankings, [list(own.values()) for own in self._judged.values()])
