"""Find the passages of an index that are nearest to each query of a file.

```bash
bert-tf search --model_dir run --index_dir passages_index --queries texts.txt --output nearest.jsonl
```

With `--reranker`, the nearest passages are ordered by a second model. An output that ends in `.trec` is a run of TREC,
for passages and queries that have ids.
"""

import os
from collections.abc import Sequence

from absl import flags

from bert_tf.utils import files, json_text, launching
from bert_tf.utils.arguments import renamed


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("model_dir", None, "The model that made the index.", required=True)
    flags.DEFINE_string("task", None, "The task of published weights, if they do not say it, such as tagging.")
    flags.DEFINE_string("index_dir", None, "The folder of the index, from bert-tf index.", required=True)
    flags.DEFINE_string("queries", None, "A text file with one query a line (.txt), or a table.", required=True)
    flags.DEFINE_string("text_column", "text", "The column of the queries in a table.")
    flags.DEFINE_string("output", None, "The file to write: one JSON object a line, or a run (.trec).", required=True)
    flags.DEFINE_string("id_column", "id", "The column of the queries' ids, and the field of the passages', for a run.")
    flags.DEFINE_string("reranker", None, "A reranker that orders the nearest passages anew.")
    flags.DEFINE_integer("candidates", 100, "The number of passages that --reranker orders.", lower_bound=1)
    flags.DEFINE_integer("top_k", 10, "The number of passages for each query.", lower_bound=1)
    flags.DEFINE_bool("exact", False, "Compare each query with each passage, although the index has a graph.")
    flags.DEFINE_integer("batch_size", 32, "The number of rows to compute at a time.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags, the index and the queries, and write the nearest passages."""
    from bert_tf.serving.index_files import check_sizes, read_description
    from bert_tf.serving.predictor import load
    from data_pipelines.finetuning.tables import suffix_of
    from experiments.prediction_inputs import read_inputs
    from experiments.search_runs import as_run, ids_of

    values = flags.FLAGS
    with renamed(folder="output"):
        files.require_writable_folder(os.path.dirname(values.output) or ".")
    if not files.exists(values.queries):
        raise FileNotFoundError(f"--queries: no such file: {values.queries!r}")
    with renamed(path="index_dir"):
        check_sizes(values.index_dir, read_description(values.index_dir))  # before the model is read
    with renamed(path="model_dir"):
        predictor = load(values.model_dir, values.task, batch_size=values.batch_size)
    reranker = None
    if values.reranker is not None:
        with renamed(path="reranker"):
            reranker = load(values.reranker, batch_size=values.batch_size)
            reranker.rerank([], [])  # an error for any other model, before the search
    columns = {} if suffix_of(values.queries) == ".txt" else {"text_column": values.text_column}
    with renamed(input="queries"):
        queries = [example.text for example in read_inputs(values.queries, predictor, columns, embed=True)]
        names = ids_of(values.queries, values.id_column) if values.output.endswith(".trec") else None
    with renamed(path="index_dir"):
        index = predictor.load_index(values.index_dir, exact=values.exact)
    found = index.search(queries, values.top_k, reranker=reranker, candidates=values.candidates)
    if names is not None:
        text = as_run(names, found, values.id_column)
    else:
        answers = zip(queries, found, strict=True)
        text = "".join(json_text.dumps({"query": query, "passages": nearest}) + "\n" for query, nearest in answers)
    files.write_text(values.output, text)
    print(f"{values.output}: {len(queries)} queries")


if __name__ == "__main__":
    launching.run(main, define_flags)
