"""The training step of both engines, compared with tf-models-official, keras-hub and transformers.

    python -m experiments.benchmarks.train_step --venvs ~/peers --output train_step.json

README.md in this folder describes the comparison and gives the results.
"""

import json
import tempfile
from collections.abc import Sequence

from absl import flags

from bert_tf.utils import files
from bert_tf.utils.launching import run
from experiments.benchmarks import packed_batches, step_race
from experiments.benchmarks.peer_environments import INSTALLATIONS

IMPLEMENTATIONS = [*step_race.OURS, *INSTALLATIONS, step_race.MATRIX_PRODUCTS]


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string("venvs", None, "The folder of the peers' environments; missing ones are made.", required=True)
    flags.DEFINE_string("output", None, "The JSON file for all measurements.")
    flags.DEFINE_list("cases", [*step_race.SHAPES, *packed_batches.CASES], "Sizes and shapes.")
    flags.DEFINE_list("precisions", ["bfloat16", "float32"], "The precisions of the computation.")
    flags.DEFINE_list("implementations", IMPLEMENTATIONS, "Who takes part.")
    flags.DEFINE_string(
        "work_dir", None, "The folder that keeps the records of the packed cases; by default a temporary one."
    )
    flags.DEFINE_string(
        "corpus", None, "The text of the packed cases; by default the documentation of Python packages."
    )
    flags.DEFINE_integer("rounds", 7, "The number of turns of each implementation.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags, measure, and print the table."""
    values = flags.FLAGS
    known = {
        "cases": (values.cases, [*step_race.SHAPES, *packed_batches.CASES]),
        "precisions": (values.precisions, ("bfloat16", "float32")),
        "implementations": (values.implementations, IMPLEMENTATIONS),
    }
    for flag, (given, choices) in known.items():
        unknown = sorted(set(given) - set(choices))
        if unknown:
            raise ValueError(f"--{flag}: there are {', '.join(choices)}. Received: {', '.join(unknown)}")
    pythons = step_race.interpreters(values.implementations, values.venvs)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in values.cases:
            for precision in values.precisions:
                if name in packed_batches.CASES:
                    made = packed_batches.make_packed_cases(
                        name, precision, work_dir=values.work_dir or folder, corpus=values.corpus
                    )
                    rows += step_race.race(made[0], pythons, rounds=values.rounds, peer_case=made[1])
                else:
                    rows += step_race.race(step_race.make_case(name, precision, folder), pythons, rounds=values.rounds)
                print(step_race.describe(rows), flush=True)
                if values.output:
                    files.write_text(values.output, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    run(main, define_flags)
