"""The scores of fine-tuning on real data, compared with transformers with the same weights, data, settings and seeds.

    python -m experiments.benchmarks.finetune_results --data_dir data --weights minilm --venvs ~/peers \
        --work_dir /tmp/finetune --output scores.jsonl

Each score is appended to `--output` at once, and a command that is started again makes only the missing ones. README.md
in this folder describes the comparison and gives the results.
"""

import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_tf.runs.metrics_log import METRICS_FILE
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from bert_tf.utils.launching import run, whole_numbers
from experiments.benchmarks.finetune_cases import (
    BENCHMARKS,
    config_path,
    define_shared_flags,
    make_case,
    prepare,
    scores,
)
from experiments.benchmarks.finetune_workers.protocol import Case, read_lines
from experiments.benchmarks.kept_results import require_same_settings
from experiments.benchmarks.peer_environments import python_of

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "finetune_workers", "worker_transformers.py")
OURS, TRANSFORMERS, RANDOM = "bert_tf", "transformers", "random weights"
IMPLEMENTATIONS = (OURS, TRANSFORMERS, RANDOM)


def random_encoder(weights: str) -> list[str]:
    """Return the launcher's arguments for random weights of the sizes of a Hugging Face folder."""
    config = files.read_json(os.path.join(weights, "config.json"))
    names = {
        "vocab_size": "vocab_size",
        "hidden_size": "hidden_size",
        "num_layers": "num_hidden_layers",
        "num_heads": "num_attention_heads",
        "intermediate_size": "intermediate_size",
    }
    sizes = [f"--set=model.{ours}={config[theirs]}" for ours, theirs in names.items()]
    return [f"--vocab_file={os.path.join(weights, 'vocab.txt')}", *sizes]


def run_ours(
    name: str,
    train: str,
    evaluation: str | None,
    *,
    start: list[str],
    seed: int,
    precision: str,
    folder: str,
    changes: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the scores, losses and seconds of `experiments.finetune` in a process of its own.

    Without `evaluation`, a tenth of the training examples is set apart for it.
    """
    benchmark = BENCHMARKS[name]
    config = config_path(benchmark)
    settings = [*benchmark.settings(), f"train.seed={seed}", f"train.precision={precision}", *changes]
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-P", "-m", "experiments.finetune", f"--config={config}", f"--train_file={train}"]
    command += [
        f"--eval_file={evaluation}" if evaluation else "--split=90/10",
        f"--model_dir={folder}",
        *start,
        *(f"--set={change}" for change in settings),
    ]
    begin = time.monotonic()
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise OSError(f"experiments.finetune ended with code {finished.returncode}: {finished.stderr[-2000:]}")
    found = files.read_json(os.path.join(folder, "scores.json"))
    reports = [report for report in read_lines(os.path.join(folder, METRICS_FILE)) if report["kind"] == "train"]
    shutil.rmtree(folder)
    losses = [(report["step"], next(report[name] for name in report if name.endswith("loss"))) for report in reports]
    return {score: found[score] for score in benchmark.scores} | _made(losses, begin)


def run_peer(case: Case, python: str) -> dict[str, Any]:
    """Return the scores, losses and seconds of the peer's worker, run by the interpreter `python`."""
    answers = f"{case.eval}.answers"
    commands = "epoch\n" * case.num_epochs + f"predict {answers}\n"
    command = [python, PEER, json.dumps(dataclasses.asdict(case))]
    begin = time.monotonic()
    finished = subprocess.run(command, input=commands, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise OSError(f"the worker ended with code {finished.returncode}: {finished.stderr[-2000:]}")
    events = [json.loads(line) for line in finished.stdout.splitlines()]
    losses = [event["loss"] for event in events if event["event"] == "trained"]
    steps = [epoch * events[0]["steps_per_epoch"] for epoch in range(1, len(losses) + 1)]
    found = scores(case, read_lines(case.eval), read_lines(answers))
    return found | _made(list(zip(steps, losses, strict=True)), begin)


def _made(losses: list[tuple[int, float]], begin: float) -> dict[str, Any]:
    """Return the values beside the scores. Each loss is the mean over the steps since the previous loss."""
    rounded = [(step, round(loss, 4)) for step, loss in losses]
    return {"losses": rounded, "seconds": time.monotonic() - begin}


def describe(lines: Sequence[dict[str, Any]]) -> str:
    """Return the scores as a Markdown table: mean and deviation (of the sample) over the seeds, times 100."""
    table = [f"| task | score | {OURS} | {TRANSFORMERS} | {RANDOM} |", "| --- | --- | --- | --- | --- |"]
    for name, benchmark in BENCHMARKS.items():
        for score in benchmark.scores:
            cells = [name, score]
            for implementation in IMPLEMENTATIONS:
                values = [
                    100 * line[score]
                    for line in lines
                    if (line["task"], line["implementation"]) == (name, implementation)
                ]
                deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
                seeds = f" ({len(values)} seed{'s' * (len(values) > 1)})"
                cells.append(f"{statistics.fmean(values):.1f}{deviation}{seeds}" if values else "not run")
            table.append(f"| {' | '.join(cells)} |")
    return "\n".join(table)


def define_flags() -> None:
    """Define the flags of the benchmark."""
    define_shared_flags()
    flags.DEFINE_string("output", None, "The file of JSON lines, one for each finished run.", required=True)
    flags.DEFINE_list("tasks", list(BENCHMARKS), "The tasks to run, in this order.")
    flags.DEFINE_enum(
        "precision", "bfloat16", ["float32", "bfloat16"], "The precision of the computation; weights are float32."
    )
    flags.DEFINE_list("implementations", list(IMPLEMENTATIONS), "Which.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "The seeds of runs from pre-trained weights.")
    flags.DEFINE_list("random_seeds", ["0"], "The seeds of runs from random weights.")


def main(_: Sequence[str]) -> None:
    """Make the runs that `--output` lacks, seed by seed, and print the table."""
    values = flags.FLAGS
    unknown = sorted(set(values.tasks) - set(BENCHMARKS))
    if unknown:
        raise ValueError(f"--tasks must be some of {', '.join(BENCHMARKS)}. Received: {', '.join(unknown)}")
    unknown = sorted(set(values.implementations) - set(IMPLEMENTATIONS))
    if unknown:
        raise ValueError(
            f"--implementations must be among {', '.join(IMPLEMENTATIONS)}. Received: {', '.join(unknown)}"
        )
    seeds = whole_numbers(values.seeds, "seeds")
    random_seeds = whole_numbers(values.random_seeds, "random_seeds")
    with renamed(folder="work_dir"):
        files.require_writable_folder(values.work_dir)
    lines = read_lines(values.output) if files.exists(values.output) else []
    for line in lines:
        require_same_settings("output", values.output, line, {"precision": values.precision})
    done = {(line["task"], line["implementation"], line["seed"]) for line in lines}
    wanted = [(name, who, seed) for seed in seeds for name in values.tasks for who in (OURS, TRANSFORMERS)]
    wanted += [(name, RANDOM, seed) for seed in random_seeds for name in values.tasks]
    wanted = [run for run in wanted if run[1] in values.implementations]
    for name, implementation, seed in wanted:
        if (name, implementation, seed) in done:
            continue
        train, evaluation = prepare(name, values.data_dir, values.work_dir)
        if implementation == TRANSFORMERS:
            changes = {"seed": seed, "precision": values.precision, "group_by_length": True}
            case = make_case(name, train, evaluation, weights=values.weights, work_dir=values.work_dir, **changes)
            found = run_peer(case, python_of("transformers", values.venvs))
        else:
            random = implementation == RANDOM
            start = random_encoder(values.weights) if random else [f"--init_checkpoint={values.weights}"]
            folder = os.path.join(values.work_dir, "run")
            found = run_ours(name, train, evaluation, start=start, seed=seed, precision=values.precision, folder=folder)
        lines.append(
            {"task": name, "implementation": implementation, "seed": seed, "precision": values.precision} | found
        )
        print(json.dumps(lines[-1]), flush=True)
        files.write_text(values.output, "".join(json.dumps(line) + "\n" for line in lines))
    print(describe(lines))


if __name__ == "__main__":
    run(main, define_flags)
