"""The code that the workers of the fine-tuning benchmarks share. It needs no packages: each has its own environment.

A worker is a process that reads the files of a case, tokenizes them, and makes the model. It answers each line of its
standard input with one line of JSON on its standard output:

    (at its start)     {"event": "ready", "start_seconds": ..., "steps_per_epoch": ..., "versions": {...}}
    epoch              {"event": "trained", "seconds": ..., "cpu_seconds": ..., "loss": ...}
    predict FILE       {"event": "predicted", "seconds": ..., "cpu_seconds": ...}

`epoch` is one pass over the training examples. `predict` writes the answers for the evaluation file as JSON lines.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol


@dataclasses.dataclass(frozen=True)
class Case:
    """A case: data, weights and settings, which are the same for all implementations.

    Attributes:
        kind: `classification`, `regression`, `tagging`, `question_answering` or `multiple_choice`.
        train, eval: the paths of files of JSON lines with `text`, `text_pair`, `label`; or `words`, `tags`; or `id`,
                `question`, `context`, `answers` ([text, first character]); or `context`, `choices`, `label`.
        labels: the sorted classes or tags; none for questions.
        weights: a folder of Hugging Face.
        num_epochs: the epochs of the schedule, which warms up over a tenth of its steps and then decays linearly.
        precision: the precision of the computation, `float32` or `bfloat16`.
        group_by_length: whether the peer's batches hold rows of similar length, as this project's do.
        settings: changes to this project's experiment, as for `--set`.
    """

    name: str
    kind: str
    train: str
    eval: str
    labels: tuple[str, ...]
    weights: str
    num_epochs: int
    batch_size: int
    learning_rate: float
    max_seq_length: int
    seed: int = 0
    precision: str = "float32"
    group_by_length: bool = False
    settings: tuple[str, ...] = ()
    doc_stride: int = 128
    max_query_length: int = 64
    max_answer_length: int = 30
    n_best_size: int = 20


def read_lines(path: str) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON lines."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def write_lines(path: str, lines: list[dict[str, Any]]) -> None:
    """Write a file of JSON lines."""
    Path(path).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


class Implementation(Protocol):
    """The implementation that a worker runs, which holds tokenized examples, model and optimizer for a case.

    Attributes:
        steps_per_epoch: the number of batches in an epoch.
        versions: the versions of the packages that matter.
    """

    steps_per_epoch: int
    versions: dict[str, str]

    def train_epoch(self) -> float:
        """Make one pass over the training examples, and return the mean loss."""
        ...

    def predict(self) -> list[dict[str, Any]]:
        """Return `label`, `tags`, `index`, or `id` and `answer` for each example of the evaluation file."""
        ...


def serve(make: Callable[[Case], Implementation]) -> None:
    """Run a worker whose only argument is a `Case` as JSON.

    Args:
        make: a function from a case to its implementation.
    """
    # Libraries print to standard output. So answers go to a copy of it, and it becomes standard error.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(event: str, **values: Any) -> None:
        answers.write(json.dumps({"event": event} | values) + "\n")

    begin = time.perf_counter()
    implementation = make(Case(**json.loads(sys.argv[1])))
    start_seconds = time.perf_counter() - begin
    steps, versions = implementation.steps_per_epoch, implementation.versions
    answer("ready", start_seconds=start_seconds, steps_per_epoch=steps, versions=versions)
    for line in sys.stdin:
        command, _, path = line.strip().partition(" ")
        begin, cpu_begin = time.perf_counter(), time.process_time()
        values: dict[str, Any] = {}
        if command == "epoch":
            values = {"loss": implementation.train_epoch()}
        else:
            write_lines(path, implementation.predict())
        seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu_begin
        event = "trained" if command == "epoch" else "predicted"
        answer(event, seconds=seconds, cpu_seconds=cpu_seconds, **values)
