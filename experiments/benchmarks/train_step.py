"""The training step, compared with tf-models-official, keras-hub and transformers.

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

IMPLEMENTATIONS = [step_race.OURS, *INSTALLATIONS, step_race.MATRIX_PRODUCTS]

VENVS = flags.DEFINE_string(
    "venvs", None, "The folder of the peers' environments; missing ones are made.", required=True
)
OUTPUT = flags.DEFINE_string("output", None, "The JSON file for all measurements.")
CASES: flags.FlagHolder[list[str]] = flags.DEFINE_list(
    "cases", [*step_race.SHAPES, *packed_batches.CASES], "Sizes and shapes."
)
PRECISIONS: flags.FlagHolder[list[str]] = flags.DEFINE_list(
    "precisions", ["bfloat16", "float32"], "The precisions of the computation."
)
ONLY: flags.FlagHolder[list[str]] = flags.DEFINE_list("implementations", IMPLEMENTATIONS, "Who takes part.")
WORK_DIR = flags.DEFINE_string(
    "work_dir", None, "The folder that keeps the records of the packed cases; by default a temporary one."
)
CORPUS = flags.DEFINE_string(
    "corpus", None, "The text of the packed cases; by default the documentation of Python packages."
)
ROUNDS = flags.DEFINE_integer("rounds", 7, "The number of turns of each implementation.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags, measure, and print the table."""
    known = {
        "cases": (CASES.value, [*step_race.SHAPES, *packed_batches.CASES]),
        "precisions": (PRECISIONS.value, ("bfloat16", "float32")),
        "implementations": (ONLY.value, IMPLEMENTATIONS),
    }
    for flag, (given, choices) in known.items():
        unknown = sorted(set(given) - set(choices))
        if unknown:
            raise ValueError(f"--{flag}: there are {', '.join(choices)}. Received: {', '.join(unknown)}")
    pythons = step_race.interpreters(ONLY.value, VENVS.value)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in CASES.value:
            for precision in PRECISIONS.value:
                if name in packed_batches.CASES:
                    made = packed_batches.make_packed_cases(
                        name, precision, work_dir=WORK_DIR.value or folder, corpus=CORPUS.value
                    )
                    rows += step_race.race(made[0], pythons, rounds=ROUNDS.value, peer_case=made[1])
                else:
                    rows += step_race.race(step_race.make_case(name, precision, folder), pythons, rounds=ROUNDS.value)
                print(step_race.describe(rows), flush=True)
                if OUTPUT.value:
                    files.write_text(OUTPUT.value, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
