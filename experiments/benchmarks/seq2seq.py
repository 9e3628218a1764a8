"""Texts that are generated from sources, compared with an `EncoderDecoderModel` of transformers at equal time.

    python -m experiments.benchmarks.seq2seq --config summarization --train pairs/train.jsonl --test pairs/test.jsonl \
        --weights weights --venvs ~/peers --work_dir /tmp/summaries --seeds 1,2,3 --output summaries.json

Both start from the same weights. The peer trains for as long as this project's whole command took. README.md in this
folder describes the comparison and gives the results.
"""

import json
import os
from collections.abc import Sequence

from absl import flags

from bert_tf.configs.generation_metrics import METRIC_TOKENIZERS
from bert_tf.scoring.seq2seq import check_packages
from bert_tf.utils import files
from bert_tf.utils.launching import run, whole_numbers
from experiments.benchmarks import seq2seq_race
from experiments.benchmarks.peer_environments import python_of


def define_flags() -> None:
    """Define the flags of the benchmark."""
    flags.DEFINE_string("config", "seq2seq", "This project's experiment: its name or its file.")
    flags.DEFINE_string("train", None, "The file of training pairs, as bert-tf finetune reads it.", required=True)
    flags.DEFINE_string("test", None, "The file of test pairs.", required=True)
    flags.DEFINE_string("weights", None, "The Hugging Face folder of the weights to start from.", required=True)
    flags.DEFINE_string("venvs", None, "The folder of the peer's environment, which is made if missing.", required=True)
    flags.DEFINE_string("work_dir", None, "The folder for pairs and runs.", required=True)
    flags.DEFINE_string("output", None, "The JSON file of all metrics; a command that is started again goes on.")
    flags.DEFINE_list("seeds", ["1"], "The seeds.")
    flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16"], "The precision of both.")
    flags.DEFINE_integer("epochs", 3, "The number of this project's passes over the pairs.", lower_bound=1)
    flags.DEFINE_float("learning_rate", 3e-4, "This project's largest learning rate.", lower_bound=0.0)
    flags.DEFINE_float("peer_learning_rate", 3e-4, "The peer's.", lower_bound=0.0)
    flags.DEFINE_integer("max_seq_length", 256, "The number of tokens of a source and its target.", lower_bound=8)
    flags.DEFINE_integer("max_target_length", 48, "The number of tokens of a target.", lower_bound=2)
    flags.DEFINE_integer("test_pairs", None, "The number of test pairs; all by default.", lower_bound=1)
    flags.DEFINE_enum("metric_tokenizer", "13a", METRIC_TOKENIZERS, "What BLEU and ROUGE count as words.")


def main(_: Sequence[str]) -> None:
    """Read the flags, train what is missing, and print the table after each training."""
    values = flags.FLAGS
    seeds = whole_numbers(values.seeds, "seeds")
    for name in ("train", "test", "weights"):
        if not files.exists(getattr(values, name)):
            raise FileNotFoundError(f"--{name}: no such file or folder: {getattr(values, name)!r}")
    check_packages(seq2seq_race.METRICS)
    names = ["config", "train", "test", "weights", "precision", "epochs", "learning_rate", "peer_learning_rate"]
    names += ["max_seq_length", "max_target_length", "test_pairs"]
    settings = seq2seq_race.Settings(
        folder=values.work_dir,
        tokenizer=values.metric_tokenizer,
        **{name: getattr(values, name) for name in names},
    )
    rows = files.read_json(values.output) if values.output and files.exists(values.output) else []
    seq2seq_race.check_settings(rows, settings, values.output)
    os.makedirs(values.work_dir, exist_ok=True)
    seq2seq_race.write_pairs(settings)
    peer = python_of("transformers", values.venvs)
    made = {(row["name"], row.get("seed")) for row in rows}
    if not made:
        rows += seq2seq_race.baselines(settings)
    for seed in seeds:
        if (seq2seq_race.OURS, seed) not in made:
            rows.append(seq2seq_race.run_own(settings, seed))
            _keep(rows, values.output)
        if (seq2seq_race.PEER, seed) not in made:
            [own] = [row for row in rows if (row["name"], row.get("seed")) == (seq2seq_race.OURS, seed)]
            rows.append(seq2seq_race.run_peer(settings, seed, peer, seconds=own["training_seconds"]))
            _keep(rows, values.output)


def _keep(rows: list[dict[str, object]], output: str | None) -> None:
    if output:
        files.write_text(output, json.dumps(rows, indent=1) + "\n")
    print(seq2seq_race.describe(rows), flush=True)


if __name__ == "__main__":
    run(main, define_flags)
