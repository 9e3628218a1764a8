"""The files of TREC and MS MARCO: texts by id, runs and judgements (qrels).

A run has lines `QUERY Q0 DOCUMENT RANK SCORE TAG`, and qrels lines `QUERY 0 DOCUMENT RELEVANCE`, each separated by
white space. Texts are lines `ID<tab>TEXT`, or JSON lines of BEIR with `_id` or `id`, `text` and perhaps `title`.
"""

import collections
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bert_tf.utils import files
from data_pipelines.finetuning.tables import suffix_of

_RUN, _QRELS = "QUERY Q0 DOCUMENT RANK SCORE TAG", "QUERY 0 DOCUMENT RELEVANCE"


class RankedQuery(NamedTuple):
    """The documents that a run found for a query, best first.

    Attributes:
        query: the id of the query.
        documents: the ids of the documents.
        scores: their scores.
        sources: file and line of each, for messages.
    """

    query: str
    documents: list[str]
    scores: list[float]
    sources: list[str]


def read_texts(path: str) -> dict[str, str]:
    """Return the texts of a collection, or of queries, by their ids, in the order of the file.

    Args:
        path: a file of lines `ID<tab>TEXT`, or JSON lines (`.jsonl`), local or remote, perhaps compressed. A title
            stands in front of its text.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line has another number of columns, an id occurs twice, a text is empty, or there is none. The
            message names file and line.
    """
    if not files.exists(path):
        raise FileNotFoundError(f"`path` must be a file that exists. Received: {path!r}")
    texts: dict[str, str] = {}
    sources: dict[str, str] = {}
    for source, name, text in _json_texts(path) if suffix_of(path) == ".jsonl" else _tsv_texts(path):
        if name in sources:
            raise ValueError(f"{source}: must have an id of its own. Received: {name!r}, as {sources[name]}")
        if not text.strip():
            raise ValueError(f"{source}: the text must not be empty. Received: {text!r}, for {name!r}")
        texts[name], sources[name] = text.strip(), source
    if not texts:
        raise ValueError(f"`path` must hold at least one text. Received: {path!r}, which has none")
    return texts


def _tsv_texts(path: str) -> Iterator[tuple[str, str, str]]:
    for number, line in enumerate(files.iterate_lines(path), 1):
        if line:
            fields = line.split("\t")
            if len(fields) != 2:
                raise ValueError(
                    f"{path}, line {number}: must have 2 columns, ID and TEXT, separated by a tab. "
                    f"Received: {len(fields)}, {line!r:.80}"
                )
            yield f"{path}, line {number}", fields[0].strip(), fields[1]


def _json_texts(path: str) -> Iterator[tuple[str, str, str]]:
    for source, fields in files.iterate_json_objects(path):
        name, text, title = fields.get("_id", fields.get("id")), fields.get("text"), fields.get("title") or ""
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise ValueError(f"{source}: must have an `_id` or `id`, a text or a whole number. Received: {name!r}")
        if not isinstance(text, str) or not isinstance(title, str):
            raise ValueError(f"{source}: must have a `text`, and a `title` only as text. Received: {text!r:.80}")
        yield source, str(name), f"{title} {text}"


def iterate_run(path: str) -> Iterator[RankedQuery]:
    """Yield the queries of a run, in the order of the file, of which one query is in memory at a time.

    Documents are in the order of their scores, as trec_eval reads a run, and equal scores in that of their ranks.

    Args:
        path: the file, local or remote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line has another number of columns, a rank or a score is not a number, a document occurs twice for
            a query, or the lines of a query do not follow each other. The message names file and line.
    """
    if not files.exists(path):
        raise FileNotFoundError(f"`path` must be a file that exists. Received: {path!r}")
    done: set[str] = set()
    rows: dict[str, tuple[float, float, str]] = {}
    current: str | None = None
    for source, (query, _, document, rank, score, _) in _rows(path, _RUN):
        if query != current:
            if query in done:
                raise ValueError(f"{source}: the lines of a query must follow each other. Received: {query!r} again")
            if current is not None:
                yield _ranked(current, rows)
            done.add(query)
            current, rows = query, {}
        if document in rows:
            raise ValueError(
                f"{source}: a document must occur once for a query. Received: {document!r}, as {rows[document][2]}"
            )
        rows[document] = (-_number(score, source, "score"), _number(rank, source, "rank"), source)
    if current is None:
        raise ValueError(f"`path` must hold at least one line. Received: {path!r}, which has none")
    yield _ranked(current, rows)


def _ranked(query: str, rows: Mapping[str, tuple[float, float, str]]) -> RankedQuery:
    ordered = sorted(rows, key=lambda document: rows[document][:2])
    return RankedQuery(
        query, ordered, [-rows[document][0] for document in ordered], [rows[document][2] for document in ordered]
    )


def read_qrels(path: str) -> dict[str, dict[str, float]]:
    """Return the relevance of each judged document, by query and document. Negative ones become 0, as in trec_eval.

    Args:
        path: the file, local or remote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line has another number of columns, a relevance is not a number, or a document is judged twice for
            a query. The message names file and line.
    """
    if not files.exists(path):
        raise FileNotFoundError(f"`path` must be a file that exists. Received: {path!r}")
    judged: dict[str, dict[str, float]] = collections.defaultdict(dict)
    for source, (query, _, document, relevance) in _rows(path, _QRELS):
        if document in judged[query]:
            raise ValueError(f"{source}: a document must be judged once for a query. Received: {document!r} again")
        judged[query][document] = max(0.0, _number(relevance, source, "relevance"))
    if not judged:
        raise ValueError(f"`path` must hold at least one line. Received: {path!r}, which has none")
    return dict(judged)


def text_of(texts: Mapping[str, str], name: str, *, source: str, path: str) -> str:
    """Return the text of an id that a line names.

    Args:
        texts: the texts by id.
        name: the id.
        source: file and line that name it, for the message.
        path: the file of the texts, for the message.

    Raises:
        ValueError: there is no such text.
    """
    if name not in texts:
        raise ValueError(f"{source}: the id must be one of {path!r}. Received: {name!r}")
    return texts[name]


def run_lines(query: str, documents: Iterable[str], scores: Iterable[float], tag: str) -> str:
    r"""Return the lines of a query in a run.

    >>> run_lines("q1", ["d7", "d2"], [0.5, 0.25], "bert_tf")
    'q1 Q0 d7 1 0.5 bert_tf\nq1 Q0 d2 2 0.25 bert_tf\n'

    Args:
        query: the id of the query.
        documents: the ids of the documents, best first.
        scores: their scores, descending.
        tag: the name of the run.

    Raises:
        ValueError: an id or the tag is empty or has white space, which separates the columns.
    """
    lines = []
    for rank, (document, score) in enumerate(zip(documents, scores, strict=True), 1):
        for name in (query, document, tag):
            if not name or name.split() != [name]:
                raise ValueError(f"an id or tag of a run must have no white space. Received: {name!r}")
        lines.append(f"{query} Q0 {document} {rank} {score!r} {tag}\n")
    return "".join(lines)


def relevances_of(documents: Sequence[str], judged: Mapping[str, float]) -> tuple[list[float], list[float]]:
    """Return the relevance of each found document, best first, and those of all judged ones, for `ranking_scores`."""
    return [judged.get(document, 0.0) for document in documents], list(judged.values())


def _rows(path: str, columns: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the source and the columns of each line."""
    for number, line in enumerate(files.iterate_lines(path), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != len(columns.split()):
            raise ValueError(
                f"{path}, line {number}: must have {len(columns.split())} columns, {columns}. "
                f"Received: {len(fields)}, {line!r:.80}"
            )
        yield f"{path}, line {number}", fields


def _number(text: str, source: str, column: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{source}: the {column} must be a finite number. Received: {text!r}")
    return number
