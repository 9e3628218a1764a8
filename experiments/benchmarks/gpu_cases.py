"""The cases, the sides and the table of the race on a GPU."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bert_tf.configs import BertConfig
from bert_tf.features import predictions_per_row
from bert_tf.models.flops import pretraining_step_flops
from data_pipelines.records.packing import DEFAULT_SEQUENCES_PER_ROW
from experiments.benchmarks.step_workers.protocol import Case
from experiments.benchmarks.synthetic_batches import synthetic_batches, tokens_per_batch

OURS, PEER = "bert_tf", "transformers"
TEXTS = {"packed": DEFAULT_SEQUENCES_PER_ROW, "padded": 1}
"""The most sequences in a row of each kind of text. All rows have room for the same number."""

# The rows of a batch, which fit into the 80 GB of one H100 on either side.
SIZES = {
    ("bert_base", 512): 64,
    ("bert_large", 512): 32,
    ("bert_base", 128): 256,
    ("bert_large", 128): 128,
}
TINY_SIZES = {("bert_tiny", 64): 4}

# The dense bfloat16 TFLOP/s that the makers state, by a part of the card's name; the first that fits counts.
PEAK_TFLOPS = {"H100 PCIe": 756.0, "H100": 989.4, "H200": 989.4, "A100": 312.0, "A10": 125.0, "L4": 121.0}

_ROOT = str(Path(__file__).resolve().parents[2])
_TORCH_STEP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "step_workers", "torch_step.py")


@dataclasses.dataclass(frozen=True)
class Options:
    """The settings that the cases of a race have in common.

    Attributes:
        device: `gpu` or `cpu`.
        attention: the attention of this project, `plain` or `fused`.
        compiled: whether the peer is compiled by `torch.compile`.
        dropout_rate: dropout of hidden states, on both sides. Attention probabilities have none.
        steps: the steps of a repetition.
        repetitions: the number of repetitions, whose median counts.
        python_jax: the interpreter that has JAX and Keras.
        python_torch: the interpreter that has PyTorch and transformers.
    """

    device: str = "gpu"
    attention: str = "fused"
    compiled: bool = True
    dropout_rate: float = 0.1
    steps: int = 10
    repetitions: int = 3
    python_jax: str = sys.executable
    python_torch: str = sys.executable


def write_batches(folder: str, model: str, length: int, *, rows: int) -> dict[str, str]:
    """Write batches of the shapes of a case to `folder`, and return the file of each kind of text."""
    config = BertConfig.named(model)
    paths = {}
    for text, sequences in TEXTS.items():
        arrays: dict[str, Any] = dict(
            synthetic_batches(
                rows,
                length,
                predictions=predictions_per_row(0.15, length),
                vocab_size=config.vocab_size,
                count=4,
                sequences=sequences,
                slots=max(TEXTS.values()),
            )
        )
        paths[text] = os.path.join(folder, f"{model}_{length}_{text}.npz")
        np.savez(paths[text], **arrays)
    return paths


def our_command(options: Options, model: str, paths: dict[str, str]) -> list[str]:
    """Return the command that measures this project on each of the files, in one process."""
    return [
        options.python_jax,
        "-m",
        "experiments.benchmarks.jax_step",
        f"--device={options.device}",
        f"--model={model}",
        f"--attention={options.attention}",
        f"--dropout_rate={options.dropout_rate}",
        "--num_devices=1",
        f"--batches={','.join(paths.values())}",
        f"--steps={options.steps}",
        f"--repetitions={options.repetitions}",
    ]


def peer_command(options: Options, model: str, length: int, *, rows: int, path: str) -> list[str]:
    """Return the command that measures transformers on a file of padded rows."""
    config = BertConfig.named(model)
    case = Case(
        name=model,
        num_layers=config.num_layers,
        hidden_size=config.hidden_size,
        batch_size=rows,
        max_seq_length=length,
        predictions=predictions_per_row(0.15, length),
        precision="bfloat16",
        batches=path,
        vocab_size=config.vocab_size,
        dropout_rate=options.dropout_rate,
    )
    arguments = {
        "case": dataclasses.asdict(case),
        "device": "cuda" if options.device == "gpu" else "cpu",
        "attention_dropout_rate": 0.0,
        "compiled": options.compiled,
        "steps": options.steps,
        "repetitions": options.repetitions,
    }
    return [options.python_torch, _TORCH_STEP, json.dumps(arguments)]


def run_side(command: Sequence[str], seconds: float) -> list[dict[str, Any]]:
    """Run a side in a process of its own, and return its lines of JSON.

    Args:
        command: the command.
        seconds: the time after which the process is killed.

    Returns:
        One dictionary a line, or one with the key `error` if the side failed.
    """
    if seconds <= 0:
        return [{"error": "no time was left"}]
    environment = dict(os.environ)
    environment.pop("KERAS_BACKEND", None)  # each side chooses its own
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [_ROOT, environment.get("PYTHONPATH")]))
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds, env=environment, cwd="/"
        )
    except subprocess.TimeoutExpired:
        return [{"error": f"it took more than {seconds:.0f} s"}]
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode:
        reasons = [line for line in result.stderr.splitlines() if line.strip()] or ["no message"]
        lines.append({"error": f"exit code {result.returncode}: {reasons[-1][:300]}"})
    return lines or [{"error": "it printed no line of JSON"}]


def race(
    sizes: dict[tuple[str, int], int],
    options: Options,
    *,
    folder: str,
    seconds: float,
    peak_tflops: float = 0.0,
    report: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
) -> list[dict[str, Any]]:
    """Measure both sides on each case, one process after the other.

    Args:
        sizes: the rows of a batch for each model and length, in the order of the race.
        options: what the cases have in common.
        folder: the folder for the batches.
        seconds: the time for all cases. What does not fit in is reported as an error.
        peak_tflops: the peak of the card; 0 for that of its name in `PEAK_TFLOPS`.
        report: a function that is called with the rows so far after each case.

    Returns:
        A row for each side and kind of text, as `_row` makes it.
    """
    end = time.monotonic() + seconds
    found: list[dict[str, Any]] = []
    for (model, length), rows in sizes.items():
        paths = write_batches(folder, model, length, rows=rows)
        ours = run_side(our_command(options, model, paths), end - time.monotonic())
        command = peer_command(options, model, length, rows=rows, path=paths["padded"])
        peers = run_side(command, end - time.monotonic())
        sides = [(OURS, text, line) for text, line in zip(paths, [*ours, *ours[-1:]], strict=False)]
        for side, text, line in [*sides, (PEER, "padded", peers[-1])]:
            with np.load(paths[text]) as arrays:
                found.append(_row(side, text, line, model=model, arrays=dict(arrays), peak_tflops=peak_tflops))
        report(found)
    return found


def _row(
    side: str, text: str, line: dict[str, Any], *, model: str, arrays: dict[str, np.ndarray], peak_tflops: float
) -> dict[str, Any]:
    """Return what a side reported, with the rates that are counted alike for both sides."""
    _, rows, length = arrays["input_ids"].shape
    row = {"model": model, "max_seq_length": length, "batch_size": rows, "text": text, "side": side} | line
    if "error" in line:
        return row
    tokens = tokens_per_batch(arrays)
    flops = pretraining_step_flops(BertConfig.named(model), rows, length, predictions=arrays["masked_lm_ids"].shape[-1])
    peak = peak_tflops or next((value for name, value in PEAK_TFLOPS.items() if name in line["device_kind"]), 0.0)
    tflops = flops / row["seconds_per_step"] / 1e12
    return row | {
        "tokens_per_second": tokens / row["seconds_per_step"],
        "padding_share": 1 - tokens / (rows * length),
        "tflops": tflops,
        "peak_share": tflops / peak if peak else None,
    }


def describe(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table, with the ratio to transformers on the same model and length."""
    lines = [
        "| model | rows x length | | text | tokens/s | x transformers | ms a step | TFLOP/s | of peak | GiB "
        "| start, s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        start = f"| {row['model']} | {row['batch_size']} x {row['max_seq_length']} | {row['side']} | {row['text']} "
        if "error" in row:
            lines.append(f"{start}| {row['error']} | | | | | | |")
            continue
        peers = [
            other["tokens_per_second"]
            for other in rows
            if other["side"] == PEER
            and "error" not in other
            and (other["model"], other["max_seq_length"]) == (row["model"], row["max_seq_length"])
        ]
        ratio = f"{row['tokens_per_second'] / peers[0]:.2f}" if peers and row["side"] == OURS else ""
        memory = row["host_memory_gib"] if row["device_memory_gib"] is None else row["device_memory_gib"]
        share = f"{row['peak_share']:.1%}" if row["peak_share"] else ""
        lines.append(
            f"{start}| {row['tokens_per_second']:,.0f} | {ratio} | {1e3 * row['seconds_per_step']:.1f} "
            f"| {row['tflops']:.1f} | {share} | {memory:.1f} | {row['compile_seconds']:.0f} |"
        )
    return "\n".join(lines)
