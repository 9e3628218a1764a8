"""The results of a search as a run of TREC, for queries and passages that have ids."""

from collections.abc import Sequence
from typing import Any

from data_pipelines.finetuning.tables import read_rows, suffix_of, text_field
from data_pipelines.trec import run_lines

_TAG = "bert_tf"


def ids_of(path: str, column: str) -> list[str]:
    """Return the id of each query of a table.

    Raises:
        ValueError: the file is no table, a query has no id, or two have the same. The message names file and line.
    """
    if suffix_of(path) == ".txt":
        raise ValueError(f"`input` must be a table with a column of ids, for a run of TREC. Received: {path!r}")
    sources: dict[str, str] = {}
    for source, row in read_rows(path):
        name = text_field(row, column, source)
        if name in sources:
            raise ValueError(
                f"{source}, column {column!r}: must be an id of its own. Received: {name!r}, as {sources[name]}"
            )
        sources[name] = source
    return list(sources)


def as_run(names: Sequence[str], found: Sequence[Sequence[dict[str, Any]]], field: str) -> str:
    """Return the lines of a run.

    Args:
        names: the id of each query.
        found: the passages of each, as `PassageIndex.search` returns them.
        field: the field of a passage's id.

    Raises:
        ValueError: a passage has no id, or an id has white space.
    """
    parts = []
    for name, passages in zip(names, found, strict=True):
        missing = next((passage for passage in passages if field not in passage), None)
        if missing is not None:
            raise ValueError(
                f"`id_column` must name a field of every passage of the index, for a run of TREC. Received: {field!r}, "
                f"which {missing['passage']!r:.80} lacks"
            )
        parts.append(
            run_lines(name, [str(each[field]) for each in passages], [each["score"] for each in passages], _TAG)
        )
    return "".join(parts)
