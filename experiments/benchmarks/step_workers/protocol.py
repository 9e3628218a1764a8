"""The code that the workers of the train-step benchmark share. It needs NumPy only: each has its own environment.

A worker is a process that builds one implementation's training step, warms it up, and then runs as many steps as each
line of its standard input asks for. It answers each line with one line of JSON on its standard output:

    {"event": "ready", "start_seconds": ..., "first_step_seconds": ..., "parameters": ..., "versions": {...}}
    {"event": "ran", "seconds": [one number a step], "cpu_seconds": [...], "loss": ...}
    {"event": "done", "peak_bytes": ..., "peak_step_bytes": ...}       (after the end of the input)
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Batch = dict[str, np.ndarray]

MATRIX_SIZE = 2048
"""The rows and columns of the matrices that `worker_matrix_products` multiplies `PRODUCTS_PER_STEP` times a step."""
PRODUCTS_PER_STEP = 8


@dataclasses.dataclass(frozen=True)
class Case:
    """A case: sizes and precision, which are the same for all implementations.

    Attributes:
        num_heads: hidden_size / 64; the feed-forward part is four times as wide as the hidden size.
        precision: `bfloat16` (variables stay float32) or `float32`.
        batches: the .npz file of the batches, which are stacked on the first axis and used in turns.
        tokens_per_batch: the average number of a batch's tokens without padding; 0 for all.
    """

    name: str
    num_layers: int
    hidden_size: int
    batch_size: int
    max_seq_length: int
    predictions: int
    precision: str
    batches: str
    tokens_per_batch: float = 0.0
    vocab_size: int = 30522
    dropout_rate: float = 0.1
    learning_rate: float = 1e-4

    @property
    def num_heads(self) -> int:
        """The number of heads, each of size 64."""
        return self.hidden_size // 64


def read_batches(case: Case) -> list[Batch]:
    """Return the batches of a case."""
    with np.load(case.batches) as arrays:
        stacked = {name: arrays[name] for name in arrays.files}
    count = len(next(iter(stacked.values())))
    return [{name: array[number] for name, array in stacked.items()} for number in range(count)]


def serve(start: Callable[[Case, list[Batch]], tuple[Callable[[int], float], int, dict[str, str]]]) -> None:
    """Run a worker whose only argument is a `Case` as JSON.

    Args:
        start: a function from the case and its batches to a function that runs one step on the batch of a number, waits
                for its end and returns the loss; the number of parameters; and the versions of the packages that
                matter.
    """
    # Libraries print to standard output. So answers go to a copy of it, and it becomes standard error.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(event: str, **values: Any) -> None:
        answers.write(json.dumps({"event": event} | values) + "\n")

    case = Case(**json.loads(sys.argv[1]))
    batches = read_batches(case)
    count = len(batches)
    begin = time.perf_counter()
    step, parameters, versions = start(case, batches)
    started = time.perf_counter()
    step(0)
    end = time.perf_counter()
    answer(
        "ready",
        start_seconds=end - begin,
        first_step_seconds=end - started,
        parameters=parameters,
        versions=versions,
    )
    step(1 % count)
    _reset_peak()
    number = 2
    for line in sys.stdin:
        seconds, cpu_seconds = [], []
        for _ in range(int(line)):
            begin, cpu_begin = time.perf_counter(), time.process_time()
            loss = step(number % count)
            seconds.append(time.perf_counter() - begin)
            cpu_seconds.append(time.process_time() - cpu_begin)
            number += 1
        answer("ran", seconds=seconds, cpu_seconds=cpu_seconds, loss=loss)
    after = peak_bytes()
    answer("done", peak_bytes=max(after, _before_steps), peak_step_bytes=after)


_before_steps = 0


def peak_bytes() -> int:
    """Return the peak memory of this process since its start or since `_reset_peak`."""
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _reset_peak() -> None:
    """Reset the peak memory, so that it leaves out starting and compiling (on Linux)."""
    global _before_steps
    _before_steps = peak_bytes()
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
