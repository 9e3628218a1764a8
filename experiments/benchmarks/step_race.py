"""The race of the train-step benchmark, in which the workers take turns to run steps."""

import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

from bert_tf.features import predictions_per_row
from experiments.benchmarks.peer_environments import INSTALLATIONS, instruction_sets, python_of
from experiments.benchmarks.step_workers.protocol import MATRIX_SIZE, PRODUCTS_PER_STEP, Case
from experiments.benchmarks.synthetic_batches import synthetic_batches

WORKERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "step_workers")
OURS = ("bert_tf", "bert_tf_jax")
"""This project's engines, on TensorFlow and on JAX."""
MATRIX_PRODUCTS = "matrix_products"

# For each name: layers, hidden size, rows, length.
SHAPES = {
    "base_8x128": (12, 768, 8, 128),
    "base_4x512": (12, 768, 4, 512),
    "mini_32x128": (4, 256, 32, 128),
    "mini_8x512": (4, 256, 8, 512),
}


def make_case(name: str, precision: str, folder: str) -> Case:
    """Return the case of a name in `SHAPES`, and write its random batches to `folder`."""
    layers, hidden, rows, length = SHAPES[name]
    predictions = predictions_per_row(0.15, length)
    case = Case(name, layers, hidden, rows, length, predictions, precision, os.path.join(folder, f"{name}.npz"))
    arrays: dict[str, Any] = dict(
        synthetic_batches(rows, length, predictions=predictions, vocab_size=case.vocab_size, count=2)
    )
    np.savez(case.batches, **arrays)
    return case


def model_flops(case: Case) -> float:
    """Return the floating-point operations of one step's matrix products, three times those of the forward pass."""
    tokens, width = case.batch_size * case.max_seq_length, case.hidden_size
    block = 2 * tokens * 12 * width**2 + 2 * 2 * tokens * case.max_seq_length * width
    head = 2 * case.batch_size * case.predictions * (width**2 + width * case.vocab_size)
    return 3.0 * (case.num_layers * block + head)


class Worker:
    """The process of a worker (`step_workers/protocol.py`)."""

    def __init__(self, python: str, script: str, case: Case) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "CUDA_VISIBLE_DEVICES": "-1",
            "JAX_PLATFORMS": "cpu",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            **instruction_sets(),
        }
        self.script = script
        self.process = subprocess.Popen(
            [python, os.path.join(WORKERS, f"worker_{script}.py"), json.dumps(dataclasses.asdict(case))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if script in OURS else subprocess.PIPE,
            text=True,
            env=environment,
        )

    def read(self) -> dict[str, Any]:
        """Return the next answer.

        Raises:
            OSError: the worker has ended.
        """
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            words = self.process.stderr.read()[-2000:] if self.process.stderr else ""
            raise OSError(f"the worker {self.script!r} ended with code {self.process.wait()}: {words}")
        return json.loads(line)

    def run(self, steps: int) -> dict[str, Any]:
        """Run some steps."""
        if self.process.stdin:
            self.process.stdin.write(f"{steps}\n")
            self.process.stdin.flush()
        return self.read()

    def finish(self) -> dict[str, Any]:
        """End the process, and return its last answer."""
        if self.process.stdin:
            self.process.stdin.close()
        last = self.read()
        self.process.wait()
        return last


def race(case: Case, pythons: dict[str, str], *, rounds: int, peer_case: Case | None = None) -> list[dict[str, Any]]:
    """Measure each implementation on one case.

    All workers run at once, and take turns `rounds` times to run steps for about a second, so that changes in the
    machine's speed affect all of them.

    Args:
        case: the sizes and batches.
        pythons: the interpreter of each implementation.
        rounds: the number of turns of each implementation.
        peer_case: the case of all implementations but this project, if their batches differ.

    Returns:
        A row for each implementation, as `_row` makes it.
    """
    cases = {name: case if name in (*OURS, MATRIX_PRODUCTS) else peer_case or case for name in pythons}
    workers, started = {}, {}
    for name, python in pythons.items():
        workers[name] = Worker(python, name, cases[name])
        started[name] = workers[name].read()
    steps, losses = {}, {}
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in workers}
    for name, worker in workers.items():
        steps[name] = max(1, math.floor(0.8 / min(worker.run(1)["seconds"])))
    for _ in range(rounds):
        for name, worker in workers.items():
            answer = worker.run(min(steps[name], 8))
            seconds[name].append(statistics.fmean(answer["seconds"]))
            cpu_seconds[name].append(statistics.fmean(answer["cpu_seconds"]))
            losses[name] = answer["loss"]
            time.sleep(0.25)  # a thread pool that spins after its work must not slow the next worker
    ended = {name: worker.finish() for name, worker in workers.items()}
    peak = None
    if MATRIX_PRODUCTS in workers:
        flops = 2.0 * MATRIX_SIZE**3 * PRODUCTS_PER_STEP
        peak = flops / statistics.median(seconds[MATRIX_PRODUCTS])
    return [
        _row(cases[name], name, seconds[name], cpu_seconds[name], started[name], ended[name], losses[name], peak)
        for name in workers
        if name != MATRIX_PRODUCTS
    ]


def _row(
    case: Case,
    name: str,
    seconds: list[float],
    cpu_seconds: list[float],
    started: dict[str, Any],
    ended: dict[str, Any],
    loss: float,
    peak: float | None,
) -> dict[str, Any]:
    median = statistics.median(seconds)
    return {
        "case": case.name,
        "precision": case.precision,
        "implementation": name,
        "milliseconds": 1e3 * median,
        "milliseconds_spread": [1e3 * min(seconds), 1e3 * max(seconds)],
        "processor_milliseconds": 1e3 * statistics.median(cpu_seconds),
        "tokens_per_second": (case.tokens_per_batch or case.batch_size * case.max_seq_length) / median,
        "share_of_matrix_rate": model_flops(case) / median / peak if peak else None,
        "matrix_gflops": peak / 1e9 if peak else None,
        "start_seconds": started["start_seconds"],
        "first_step_seconds": started["first_step_seconds"],
        "peak_step_mib": ended["peak_step_bytes"] / 2**20,
        "peak_mib": ended["peak_bytes"] / 2**20,
        "loss": loss,
        "versions": started["versions"],
    }


def describe(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table, with the ratio to the fastest peer of the same case and precision."""
    lines = [
        "| case | precision | | ms a step | processor ms | tokens/s | x best peer | of matrix rate | start, s "
        "| first step, s | peak MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        peers = [
            other["tokens_per_second"]
            for other in rows
            if (other["case"], other["precision"]) == (row["case"], row["precision"])
            and other["implementation"] not in OURS
        ]
        ratio = f"{row['tokens_per_second'] / max(peers):.2f}" if peers and row["implementation"] in OURS else ""
        share = f"{row['share_of_matrix_rate']:.0%}" if row["share_of_matrix_rate"] else ""
        lines.append(
            f"| {row['case']} | {row['precision']} | {row['implementation']} | {row['milliseconds']:.0f} "
            f"| {row['processor_milliseconds']:.0f} | {row['tokens_per_second']:,.0f} | {ratio} | {share} "
            f"| {row['start_seconds']:.0f} | {row['first_step_seconds']:.0f} | {row['peak_step_mib']:,.0f} |"
        )
    return "\n".join(lines)


def interpreters(implementations: list[str], venvs: str) -> dict[str, str]:
    """Return the interpreter of each implementation, after making the peers' environments in `venvs`."""
    return {name: python_of(name, venvs) if name in INSTALLATIONS else sys.executable for name in implementations}
