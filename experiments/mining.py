"""The passages that searches found, of which `bert-tf mine-negatives` makes hard negatives, and their file."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from absl import logging

from bert_tf.examples import RetrievalExample
from bert_tf.utils import files, json_text
from bert_tf.utils.progress import progress_bar
from data_pipelines import trec
from data_pipelines.hard_negatives import Found

_TOGETHER = 512


def found_by_model(predictor: Any, examples: Sequence[RetrievalExample], top_k: int) -> Iterator[Found]:
    """Yield what a model finds for each different query, among all different passages of the examples.

    Args:
        predictor: a model that embeds, as `bert_tf.load` returns it.
        examples: the queries and the passages that answer them.
        top_k: the number of passages to find.
    """
    right: dict[str, list[str]] = {}
    for example in examples:
        right.setdefault(example.query, []).append(example.passage)
    passages = dict.fromkeys(text for example in examples for text in (example.passage, *example.negatives))
    index = predictor.index(list(passages))
    queries = list(right)
    with progress_bar(label="mining", unit="query", total=len(queries)) as bar:
        for some in (queries[start : start + _TOGETHER] for start in range(0, len(queries), _TOGETHER)):
            for query, nearest in zip(some, index.search(some, top_k), strict=True):
                texts, scores = [each["passage"] for each in nearest], [each["score"] for each in nearest]
                yield Found(query, list(dict.fromkeys(right[query])), texts, scores)
            bar.update(len(some))


def found_in_run(run: str, queries: str, collection: str, qrels: str) -> Iterator[Found]:
    """Yield what a run of TREC found for each query that has a relevant document. The run is read as it is used.

    Args:
        run: the file of the run.
        queries: the file of the queries' texts.
        collection: the file of the documents' texts.
        qrels: the file of the judgements.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file is damaged, or names an id that the texts lack. The message names file and line.
    """
    query_texts, texts, judged = trec.read_texts(queries), trec.read_texts(collection), trec.read_qrels(qrels)
    skipped = 0
    for found in trec.iterate_run(run):
        query = trec.text_of(query_texts, found.query, source=found.sources[0], path=queries)
        relevant = [name for name, relevance in judged.get(found.query, {}).items() if relevance > 0]
        if not relevant:
            skipped += 1
            continue
        source = f"{qrels}, query {found.query}"
        positives = [trec.text_of(texts, name, source=source, path=collection) for name in relevant]
        passages = [
            trec.text_of(texts, name, source=place, path=collection)
            for name, place in zip(found.documents, found.sources, strict=True)
        ]
        yield Found(query, list(dict.fromkeys(positives)), passages, found.scores)
    if skipped:
        logging.warning("%s: %d queries have no relevant document in %s and are left out", run, skipped, qrels)


def write_rows(rows_of_queries: Iterable[list[dict[str, Any]]], path: str) -> tuple[int, int]:
    """Write the rows of queries as JSON lines, as they come; the file appears whole or not at all.

    Returns:
        The number of rows, and of those without negatives.
    """
    rows = bare = 0
    with files.open_to_write(path) as file:
        for row in itertools.chain.from_iterable(rows_of_queries):
            rows, bare = rows + 1, bare + (not row["negatives"])
            file.write((json_text.dumps(row) + "\n").encode())
    return rows, bare
