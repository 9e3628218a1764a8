"""The step of transformers in the race on a GPU: `jax_step`'s counterpart, which prints one line of JSON.

Its only argument is JSON: the fields of a `Case` as `case`, and the options of `main`. It needs NumPy, PyTorch and
transformers.
"""

import json
import os
import statistics
import sys
import time
from importlib.metadata import version
from typing import Any

import torch
from protocol import Case, peak_bytes, read_batches
from torch_training import make_training


def measure(
    case: Case, *, device: str, attention_dropout_rate: float, compiled: bool, steps: int, repetitions: int
) -> dict[str, Any]:
    """Measure the first step, which is compiled, and then repetitions of some steps; see `jax_training.measure`."""
    torch.set_float32_matmul_precision("high")
    batches = read_batches(case)
    step, _ = make_training(
        case, batches, device=device, attention_dropout_rate=attention_dropout_rate, compiled=compiled
    )

    def run(first: int, count: int) -> tuple[list[float], float]:
        begin = time.perf_counter()
        losses = [step(number % len(batches)) for number in range(first, first + count)]
        values = torch.stack(losses).tolist()  # waits for the device
        return values, time.perf_counter() - begin

    losses, first_seconds = run(0, 1)
    run(1, 1)
    seconds = []
    for repetition in range(repetitions):
        made, taken = run(2 + repetition * steps, steps)
        losses += made
        seconds.append(taken / steps)
    median = statistics.median(seconds)
    on_gpu = device == "cuda"
    return {
        "device_kind": torch.cuda.get_device_name() if on_gpu else "cpu",
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "compile_seconds": max(0.0, first_seconds - median),
        "seconds_per_step": median,
        "seconds_per_step_spread": [min(seconds), max(seconds)],
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "device_memory_gib": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None,
        "host_memory_gib": peak_bytes() / 2**30,
    }


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print to standard output
    options = json.loads(sys.argv[1])
    answers.write(json.dumps(measure(Case(**options.pop("case")), **options)) + "\n")
    answers.close()
