"""The reading of pre-training data, compared with plain tf.data pipelines over Google's masked and padded records.

    python -m experiments.benchmarks.read_data --work_dir /tmp/read --output read_data.json

README.md in this folder describes the comparison and its measurement, and gives the results.
"""

import json
import os
from collections.abc import Sequence

from absl import flags

from bert_tf.utils import files
from bert_tf.utils.launching import run
from experiments.benchmarks import reading_race

CASES = ((128, 1), (512, 1), (512, 8))  # the length of a row, and the number of sequences in it


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string("work_dir", None, "The local folder for the records.", required=True)
    flags.DEFINE_integer(
        "rows", 50_000, "The number of rows of 128 tokens; there are a quarter as many rows of 512.", lower_bound=1024
    )
    flags.DEFINE_float("seconds", 1.5, "The seconds for which each reads in a round.", lower_bound=0.01)
    flags.DEFINE_integer("rounds", 3, "The number of turns of each implementation.", lower_bound=1)
    flags.DEFINE_string("output", None, "The JSON file for all measurements.")


def main(_: Sequence[str]) -> None:
    """Make the records, let all take turns on one core, and print and write the results."""
    values = flags.FLAGS
    reading_race.use_one_core()
    results: dict[str, dict[str, float]] = {"sorting, ms": {"before": reading_race.sorting_milliseconds()}}
    for length, slots in CASES:
        name = f"{length}{' packed' if slots > 1 else ''}"
        rows = values.rows if length == CASES[0][0] else values.rows // 4
        folder = os.path.join(values.work_dir, name.replace(" ", "_"))
        readers = reading_race.readers(folder, length=length, slots=slots, rows=rows)
        results[name] = reading_race.race(readers, values.seconds, values.rounds)
    results["sorting, ms"]["after"] = reading_race.sorting_milliseconds()
    print(json.dumps(results, indent=2))
    if values.output:
        files.write_json(values.output, results)


if __name__ == "__main__":
    run(main, define_flags)
