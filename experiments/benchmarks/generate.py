"""The generation of texts, compared with an encoder-decoder of transformers of the same sizes.

    python -m experiments.benchmarks.generate --venvs ~/peers --work_dir /tmp/generate --output generate.json

README.md in this folder describes the comparison and gives the results.
"""

import json
from collections.abc import Sequence

from absl import flags

from bert_tf.configs.model import PUBLISHED_SIZES
from bert_tf.utils import files
from bert_tf.utils.launching import run
from experiments.benchmarks import generate_race


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string("venvs", None, "The folder of the peers' environments; missing ones are made.", required=True)
    flags.DEFINE_string("work_dir", None, "The folder for weights and exports; missing ones are made.", required=True)
    flags.DEFINE_string("output", None, "The JSON file for all measurements.")
    flags.DEFINE_enum("size", "bert_mini", sorted(PUBLISHED_SIZES), "The published size of the models.")
    flags.DEFINE_list("implementations", list(generate_race.IMPLEMENTATIONS), "Who takes part.")
    flags.DEFINE_integer("rounds", 5, "The number of turns of each implementation.", lower_bound=1)


def main(_: Sequence[str]) -> None:
    """Read the flags, measure, and print the table."""
    values = flags.FLAGS
    unknown = sorted(set(values.implementations) - set(generate_race.IMPLEMENTATIONS))
    if unknown:
        raise ValueError(
            f"--implementations must be among {', '.join(generate_race.IMPLEMENTATIONS)}. "
            f"Received: {', '.join(unknown)}"
        )
    folder = generate_race.prepare(values.work_dir, values.size)
    rows = generate_race.race(folder, venvs=values.venvs, implementations=values.implementations, rounds=values.rounds)
    print(generate_race.describe(rows), flush=True)
    if values.output:
        files.write_text(values.output, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    run(main, define_flags)
