"""Simulated n-best lists, re-scored by a masked language model, a distilled scorer and a trigram model.

    python -m experiments.benchmarks.rescoring --checkpoint_dir runs/checkpoint --work_dir /tmp/rescoring \
        --output rescoring.json

The lists are made by corrupting held-out sentences, without speech (`nbest_simulation.py`). README.md in this folder
describes the comparison and gives the results.
"""

import os
from collections.abc import Sequence

from absl import flags

from bert_tf.scoring.rescoring import require_jiwer
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from bert_tf.utils.launching import run


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string("checkpoint_dir", None, "The folder of make checkpoint, with corpus/ and run/.", required=True)
    flags.DEFINE_string(
        "work_dir", None, "The folder for lists and scores; a command that is started again goes on.", required=True
    )
    flags.DEFINE_integer("sentences", 400, "The number of held-out sentences, each with a list.", lower_bound=10)
    flags.DEFINE_integer("hypotheses", 10, "The number of hypotheses of a list.", lower_bound=2, upper_bound=1000)
    flags.DEFINE_integer(
        "scorer_sentences", 2000, "The number of training sentences for the distilled scorer.", lower_bound=50
    )
    flags.DEFINE_integer("loop_texts", 24, "The number of texts whose rows are computed one at a time.", lower_bound=1)
    flags.DEFINE_integer("seed", 1, "The seed of the lists and of the scorer.")
    flags.DEFINE_string("output", None, "The JSON file for all results.")


def main(_: Sequence[str]) -> None:
    """Read the flags, run the stages that are not complete, and print the tables."""
    from experiments.benchmarks import nbest_simulation, rescoring_race

    values = flags.FLAGS
    for name in (rescoring_race.TRAIN, rescoring_race.HELD_OUT, rescoring_race.RUN):
        if not files.exists(os.path.join(values.checkpoint_dir, name)):
            raise FileNotFoundError(
                f"--checkpoint_dir: must have {name}, as make checkpoint writes it. Received: {values.checkpoint_dir!r}"
            )
    require_jiwer()
    nbest_simulation.require_packages()
    if values.output:
        with renamed(folder="output"):
            files.require_writable_folder(os.path.dirname(values.output) or ".")
    names = ("sentences", "hypotheses", "scorer_sentences", "loop_texts", "seed")
    with renamed(output_dir="work_dir"):
        race = rescoring_race.RescoringRun(
            values.work_dir, values.checkpoint_dir, **{name: getattr(values, name) for name in names}
        )
        race.run_stages()
    results = race.results()
    if values.output:
        files.write_json(values.output, results)
    print("\n" + rescoring_race.describe(results))


if __name__ == "__main__":
    run(main, define_flags)
