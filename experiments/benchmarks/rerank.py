"""Retrieval alone, with this project's reranker and with a `CrossEncoder` of sentence-transformers, on a SQuAD file.

    python -m experiments.benchmarks.rerank --data xquad.en.json --weights minilm --venvs ~/peers \
        --work_dir /tmp/rerank --seeds 1,2,3 --output rerank.json

README.md in this folder describes the comparison and gives the results.
"""

import json
from collections.abc import Sequence

from absl import flags

from bert_tf.configs.tasks.reranking import RERANKING_LOSSES
from bert_tf.utils import files
from bert_tf.utils.launching import run, whole_numbers
from experiments.benchmarks import rerank_race
from experiments.benchmarks.peer_environments import python_of


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string("data", None, "The SQuAD file; every other article is for training.", required=True)
    flags.DEFINE_string("weights", None, "The folder of an encoder for sentences, such as MiniLM.", required=True)
    flags.DEFINE_string("venvs", None, "The folder of the peer's environment, which is made if it is missing.")
    flags.DEFINE_string("peer_python", None, "Instead, an interpreter that has sentence-transformers.")
    flags.DEFINE_string("work_dir", None, "The folder for data and runs.", required=True)
    flags.DEFINE_string("output", None, "The JSON file for all scores.")
    flags.DEFINE_list("seeds", ["1"], "The seeds.")
    flags.DEFINE_enum("loss", "softmax", RERANKING_LOSSES, "The loss of both; the peer has softmax and binary.")
    flags.DEFINE_integer("epochs", 4, "The number of passes over the training pairs.", lower_bound=1)
    flags.DEFINE_integer("negatives", 5, "The number of negatives of a question.", lower_bound=1)
    flags.DEFINE_integer("depth", 10, "The number of passages to re-rank for a question.", lower_bound=1)
    flags.DEFINE_float("learning_rate", 1e-4, "The largest learning rate.", lower_bound=0.0)


def main(_: Sequence[str]) -> None:
    """Read the flags, train, and print the table."""
    values = flags.FLAGS
    seeds = whole_numbers(values.seeds, "seeds")
    for name in ("data", "weights"):
        if not files.exists(getattr(values, name)):
            raise FileNotFoundError(f"--{name}: no such file or folder: {getattr(values, name)!r}")
    if (values.peer_python or values.venvs) and values.loss not in rerank_race.PEER_LOSSES:
        known = ", ".join(rerank_race.PEER_LOSSES)
        raise ValueError(f"--loss must be one of {known}, which the peer has. Received: {values.loss!r}")
    peer = values.peer_python
    if peer is None and values.venvs is not None:
        peer = python_of("sentence_transformers", values.venvs)
    settings = rerank_race.Settings(
        weights=values.weights,
        folder=values.work_dir,
        loss=values.loss,
        epochs=values.epochs,
        negatives=values.negatives,
        depth=values.depth,
        learning_rate=values.learning_rate,
    )
    rerank_race.prepare(values.data, settings)
    rows = [rerank_race.scores("retrieval", settings, rerank_race.FIRST_RUN)]
    for seed in seeds:
        rows.append(rerank_race.run_own(settings, seed))
        if peer is not None:
            rows.append(rerank_race.run_peer(settings, seed, peer))
        print(rerank_race.describe(rows), flush=True)
    if values.output:
        files.write_text(values.output, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    run(main, define_flags)
