"""Re-rank the first documents of a run of TREC by a reranker, and print the scores before and after.

```bash
bert-tf rerank --model_dir reranker --run bm25.trec --queries queries.tsv --collection collection.tsv \
    --qrels qrels.txt --output reranked.trec
```
"""

import os
from collections.abc import Sequence

from absl import flags

from bert_tf.utils import files, launching
from bert_tf.utils.arguments import renamed


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("model_dir", None, "The reranker: a run, an export, or published weights.", required=True)
    flags.DEFINE_string("task", None, "The task of published weights, if they do not say it: reranking.")
    flags.DEFINE_string("run", None, "The run: lines QUERY Q0 DOCUMENT RANK SCORE TAG.", required=True)
    flags.DEFINE_string("queries", None, "The queries: lines ID, tab, TEXT; or JSON lines of BEIR.", required=True)
    flags.DEFINE_string("collection", None, "The documents, in the same form.", required=True)
    flags.DEFINE_string("qrels", None, "The judgements, lines QUERY 0 DOCUMENT RELEVANCE, to print scores.")
    flags.DEFINE_string("output", None, "The run to write.", required=True)
    flags.DEFINE_integer("depth", 100, "The number of documents of each query to re-rank.", lower_bound=1)
    flags.DEFINE_string("tag", "bert_tf", "The name of the run to write.")
    flags.DEFINE_integer("batch_size", 32, "The number of rows to compute at a time.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags, re-rank the run, and write it."""
    from bert_tf.serving.predictor import load
    from bert_tf.utils.progress import progress_bar
    from data_pipelines.trec import run_lines
    from experiments.reranking import RunScores, reranked

    values = flags.FLAGS
    with renamed(folder="output"):
        files.require_writable_folder(os.path.dirname(values.output) or ".")
    for name in ("run", "queries", "collection", "qrels"):
        if getattr(values, name) is not None and not files.exists(getattr(values, name)):
            raise FileNotFoundError(f"--{name}: no such file: {getattr(values, name)!r}")
    scores = None if values.qrels is None else RunScores(values.qrels)
    with renamed(path="model_dir"):
        predictor = load(values.model_dir, values.task, batch_size=values.batch_size)
    found = reranked(predictor, values.run, queries=values.queries, collection=values.collection, depth=values.depth)
    with files.open_to_write(values.output) as file, progress_bar(label="re-ranking", unit="query") as bar:
        for before, (query, documents, new_scores) in found:
            file.write(run_lines(query, documents, new_scores, values.tag).encode())
            if scores is not None:
                scores.add(query, before.documents, documents)
            bar.update(1)
    print("\n".join([f"{values.output}: {bar.n} queries", *(scores.table() if scores is not None else [])]))


if __name__ == "__main__":
    launching.run(main, define_flags)
