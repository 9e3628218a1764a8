"""The preparation of pre-training data, compared with tf-models-official's `create_pretraining_data`.

    python -m experiments.benchmarks.prepare_data --venvs ~/peers --work_dir /tmp/prepare --output prepare_data.json

Without --input, the text is the documentation of the installed Python packages. README.md in this folder describes the
comparison and gives the results.
"""

import json
import os
from collections.abc import Sequence

from absl import flags

from bert_tf.utils import files
from bert_tf.utils.launching import run
from experiments.benchmarks import preparation_race
from experiments.benchmarks.peer_environments import python_of


def _are_sizes(sizes: list[str]) -> bool:
    return all(size.replace(".", "", 1).isdigit() and float(size) > 0 for size in sizes)


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string("venvs", None, "The folder of the peers' environments; missing ones are made.", required=True)
    flags.DEFINE_string("work_dir", None, "The local folder for text, vocabulary and records.", required=True)
    flags.DEFINE_string("input", None, "The text, one sentence on each line, with blank lines between documents.")
    flags.DEFINE_string("vocab_file", None, "The uncased vocabulary; by default 30,522 tokens from the text.")
    flags.DEFINE_float("megabytes", 5.0, "The megabytes of text that each prepares.", lower_bound=0.01)
    flags.DEFINE_integer("rounds", 3, "The number of turns of each implementation.", lower_bound=1)
    flags.DEFINE_list(
        "memory_megabytes", ["20", "200"], "The sizes of text for which this project's peak memory is measured."
    )
    flags.register_validator("memory_megabytes", _are_sizes, "--memory_megabytes must hold numbers above 0.")
    flags.DEFINE_string("output", None, "The JSON file for all measurements.")


def main(_: Sequence[str]) -> None:
    """Make the missing inputs, let both take turns, and print and write the results."""
    values = flags.FLAGS
    corpus, vocab_file = preparation_race.corpus_and_vocabulary(values.work_dir, values.input, values.vocab_file)
    peer_python = python_of("tf_models_official", values.venvs)
    text = os.path.join(values.work_dir, "text.txt")
    preparation_race.write_text(corpus, text, values.megabytes)
    results = {
        "race": preparation_race.race(text, vocab_file, values.work_dir, peer_python=peer_python, rounds=values.rounds),
        "tokenizer": preparation_race.tokenizer_speed(text, vocab_file, values.rounds),
        "memory": [
            preparation_race.memory(corpus, vocab_file, values.work_dir, megabytes=float(megabytes))
            for megabytes in values.memory_megabytes
        ],
    }
    print(json.dumps(results, indent=2))
    if values.output:
        files.write_json(values.output, results)


if __name__ == "__main__":
    run(main, define_flags)
