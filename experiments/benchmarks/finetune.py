"""The time of an epoch of fine-tuning on SST-2, compared with transformers with dynamic padding.

    python -m experiments.benchmarks.finetune --data_dir data --weights minilm --venvs ~/peers \
        --work_dir /tmp/finetune --output finetune.json

README.md in this folder describes the comparison and gives the results.
"""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from bert_tf.utils.launching import run
from experiments.benchmarks.finetune_cases import define_shared_flags, make_case, prepare
from experiments.benchmarks.finetune_workers.protocol import Case
from experiments.benchmarks.peer_environments import python_of

WORKERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "finetune_workers")


class Worker:
    """The process of a worker (`finetune_workers/protocol.py`)."""

    def __init__(self, python: str, name: str, case: Case) -> None:
        self.name = name
        script = os.path.join(WORKERS, f"worker_{name}.py")
        self.process = subprocess.Popen(
            [python, script, json.dumps(dataclasses.asdict(case))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        )

    def read(self) -> dict[str, Any]:
        """Return the next answer.

        Raises:
            OSError: the worker has ended.
        """
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise OSError(f"the worker {self.name!r} ended with code {self.process.wait()}")
        return json.loads(line)

    def train_epoch(self) -> dict[str, Any]:
        """Return the measurements of one epoch."""
        if self.process.stdin:
            self.process.stdin.write("epoch\n")
            self.process.stdin.flush()
        return self.read()

    def finish(self) -> None:
        """End the process."""
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait()


def summary(case: Case, name: str, *, started: dict[str, Any], epochs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a row of the table.

    Args:
        case: the case that was trained.
        name: the name of the implementation.
        started: the worker's first answer.
        epochs: the worker's answers to the epochs, at least two. The first epoch compiles.
    """
    seconds = [epoch["seconds"] for epoch in epochs]
    later = statistics.median(seconds[1:])
    return {
        "implementation": name,
        "precision": case.precision,
        "epoch_seconds": later,
        "epoch_seconds_spread": [min(seconds[1:]), max(seconds[1:])],
        "epoch_cpu_seconds": statistics.median(epoch["cpu_seconds"] for epoch in epochs[1:]),
        "first_epoch_extra_seconds": seconds[0] - later,
        "steps": started["steps_per_epoch"],
        "start_seconds": started["start_seconds"],
        "losses": [epoch["loss"] for epoch in epochs],
        "versions": started["versions"],
    }


def race(case: Case, pythons: dict[str, str], rounds: int) -> list[dict[str, Any]]:
    """Let all implementations train an epoch in turns, `rounds` times, and return a row for each."""
    workers = {name: Worker(python, name, case) for name, python in pythons.items()}
    started = {name: worker.read() for name, worker in workers.items()}
    epochs: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            epochs[name].append(worker.train_epoch())
    for worker in workers.values():
        worker.finish()
    return [summary(case, name, started=started[name], epochs=epochs[name]) for name in workers]


def describe(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table, with the ratio of this project's time to the peer's at equal precision."""
    lines = ["| precision | | s an epoch | of the peer's | compiling, s | processor s |", "|" + " --- |" * 6]
    for row in rows:
        peers = [
            other["epoch_seconds"]
            for other in rows
            if other["precision"] == row["precision"] and other["implementation"] != row["implementation"]
        ]
        ratio = f"{row['epoch_seconds'] / peers[0]:.2f}" if peers and row["implementation"] == "bert_tf" else ""
        lines.append(
            f"| {row['precision']} | {row['implementation']} | {row['epoch_seconds']:.1f} | {ratio} "
            f"| {row['first_epoch_extra_seconds']:.1f} | {row['epoch_cpu_seconds']:.1f} |"
        )
    return "\n".join(lines)


def define_flags() -> None:
    """Define the flags of the benchmark."""
    define_shared_flags()
    flags.DEFINE_string("output", None, "The JSON file for all measurements.")
    flags.DEFINE_integer(
        "sentences", 1500, "The number of sentences, from the start of the training file.", lower_bound=32
    )
    flags.DEFINE_integer("rounds", 4, "The number of epochs of each implementation; the first compiles.", lower_bound=2)
    flags.DEFINE_list("settings", [], "Changes to this project's experiment, such as train.concurrent_parts=2.")
    flags.DEFINE_list("precisions", ["float32", "bfloat16"], "Of all.")


def main(_: Sequence[str]) -> None:
    """Read the flags, measure, and print the table."""
    values = flags.FLAGS
    unknown = sorted(set(values.precisions) - {"float32", "bfloat16"})
    if unknown:
        raise ValueError(f"--precisions must be among float32, bfloat16. Received: {', '.join(unknown)}")
    with renamed(folder="work_dir"):
        files.require_writable_folder(values.work_dir)
    train, evaluation = prepare("sst2", values.data_dir, values.work_dir)
    case = make_case(
        "sst2", train, evaluation, weights=values.weights, work_dir=values.work_dir, num_epochs=values.rounds
    )
    case = dataclasses.replace(case, settings=tuple(values.settings))
    lines = files.read_text(case.train).splitlines()[: values.sentences]
    files.write_text(case.train, "\n".join(lines) + "\n")
    pythons = {"bert_tf": sys.executable, "transformers": python_of("transformers", values.venvs)}
    rows = []
    for precision in values.precisions:
        rows += race(dataclasses.replace(case, precision=precision), pythons, values.rounds)
        print(describe(rows), flush=True)
        if values.output:
            files.write_json(values.output, rows)


if __name__ == "__main__":
    run(main, define_flags)
