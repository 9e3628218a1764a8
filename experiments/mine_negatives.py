"""Find hard negatives, passages that a search ranks high though they do not answer the query, to train on.

```bash
bert-tf mine-negatives --data train.tsv --model_dir retriever --output negatives.jsonl
bert-tf mine-negatives --run bm25.trec --queries queries.tsv --collection collection.tsv --qrels qrels.txt \
    --output negatives.jsonl
```

The search is that of a model in the passages of --data, or a run of TREC. The rows, `query`, `passage` and `negatives`,
are read by the experiments `retrieval` (with `--set task.num_negatives=7`) and `reranking`.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags

from bert_tf.utils import files, launching
from bert_tf.utils.arguments import renamed

_TREC = ("run", "queries", "collection", "qrels")


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("data", None, "Queries and passages: a table, or a SQuAD file (.json).")
    flags.DEFINE_string("query_column", "query", "The column of the queries in --data.")
    flags.DEFINE_string("passage_column", "passage", "The column of the passages that answer them in --data.")
    flags.DEFINE_string("model_dir", None, "The model that searches in the passages of --data.")
    flags.DEFINE_string("run", None, "The run of a search in TREC's format, instead of --data and --model_dir.")
    flags.DEFINE_string("queries", None, "The queries of --run: lines ID, tab, TEXT; or JSON lines of BEIR.")
    flags.DEFINE_string("collection", None, "The documents of --run, in the same form.")
    flags.DEFINE_string("qrels", None, "The relevant documents of the queries, in TREC's format.")
    flags.DEFINE_string("output", None, "The file of JSON lines to write.", required=True)
    flags.DEFINE_integer("first_rank", 1, "The first rank of a negative.")
    flags.DEFINE_integer("last_rank", 100, "The last rank of a negative.")
    flags.DEFINE_integer("num_negatives", 7, "The largest number of negatives of a query.")
    flags.DEFINE_float("margin", None, "The least difference of a negative's score to that of the right passage.")
    flags.DEFINE_float("max_score", None, "The greatest score of a negative.")
    flags.DEFINE_enum("sampling", "top", ["top", "random"], "Which passages of the ranks become negatives.")
    flags.DEFINE_integer("seed", 0, "The random seed of --sampling random.")
    flags.DEFINE_integer("batch_size", 32, "The number of rows to compute at a time.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags, search, and write the rows."""
    from data_pipelines.hard_negatives import MiningOptions, mined
    from experiments.mining import write_rows

    values = flags.FLAGS
    names = ("first_rank", "last_rank", "num_negatives", "margin", "max_score", "sampling", "seed")
    options = MiningOptions(**{name: getattr(values, name) for name in names})
    given = [name for name in ("data", "model_dir", *_TREC) if getattr(values, name)]
    if given not in (["data", "model_dir"], list(_TREC)):
        raise ValueError(
            "`data` and `model_dir` must be given, or `run`, `queries`, `collection` and `qrels`. "
            f"Received: {', '.join(given) or 'none of them'}"
        )
    with renamed(folder="output"):
        files.require_writable_folder(os.path.dirname(values.output) or ".")
    rows, bare = write_rows(mined(_found(values, options.last_rank), options), values.output)
    note = f", {bare} of them without negatives" if bare else ""
    print(f"{values.output}: {rows} rows{note}")
    launching.suggest(f"bert-tf finetune --config reranking --train_file {values.output} --init_checkpoint ...")


def _found(values: Any, last_rank: int) -> Iterator[Any]:
    """Return what the search found for each query."""
    from experiments.mining import found_by_model, found_in_run

    if values.run:
        for name in _TREC:
            if not files.exists(getattr(values, name)):
                raise FileNotFoundError(f"--{name}: no such file: {getattr(values, name)!r}")
        return found_in_run(values.run, values.queries, values.collection, values.qrels)
    from bert_tf.configs.tasks import RetrievalConfig
    from bert_tf.serving.predictor import load
    from data_pipelines.finetuning.labelled import read_examples

    config = RetrievalConfig(query_column=values.query_column, passage_column=values.passage_column)
    with renamed(path="data"):
        examples = read_examples(values.data, config).examples
    with renamed(path="model_dir"):
        predictor = load(values.model_dir, batch_size=values.batch_size)
    return found_by_model(predictor, examples, last_rank)


if __name__ == "__main__":
    launching.run(main, define_flags)
