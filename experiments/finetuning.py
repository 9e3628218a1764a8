"""Fine-tuning once, or once for each seed and setting: what the launcher and `bert_tf.finetune` share."""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from bert_tf.configs import FinetuningConfig
from bert_tf.examples import Examples
from bert_tf.tasks import trainable_of
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.training import finetuning
from bert_tf.training.engine import Engine
from bert_tf.training.sweeps import points_of, sweep
from experiments.python.results import SweepResult, TrainingResult


def finetune(
    config: FinetuningConfig,
    parts: Mapping[str, Examples],
    *,
    run_dir: str,
    engine: Engine,
    seeds: Sequence[int] = (),
    grid: Mapping[str, Sequence[Any]] | None = None,
    init_checkpoint: str | None = None,
    tokenizer: WordPieceTokenizer | None = None,
    data: dict[str, Any] | None = None,
    allow_random_heads: bool = False,
) -> TrainingResult | SweepResult:
    """Fine-tune in `run_dir`, or continue there, and return the result.

    Args:
        config: the experiment.
        parts: the examples of `train` and, if they are given, of `eval` and `test`.
        run_dir: the folder of the run, or of all runs.
        engine: the devices and processes.
        seeds: the random seeds, each of which has a run of its own; () for one run with the seed of `config`.
        grid: the values of fields by dotted name, whose every combination has runs of its own.
        init_checkpoint: see `bert_tf.training.finetuning.finetune`.
        tokenizer: see there.
        data: see there.
        allow_random_heads: see there.

    Returns:
        A `SweepResult` if there are seeds or a grid, else a `TrainingResult`.

    Raises:
        FileNotFoundError, ValueError, FloatingPointError, Preempted: see `bert_tf.training.finetuning.finetune`.
    """
    task = trainable_of(config.task)
    labels = task.labels_of_parts(*parts.values())  # `train` is the first
    for member in task.members(labels):
        if description := member.task.describe_labels(member.labels, parts["train"].of_task(member.name).examples):
            print(f"{member.name}: {description}" if member.name else description, flush=True)
    run = partial(
        finetuning.finetune,
        train_examples=parts["train"],
        eval_examples=parts.get("eval"),
        test_examples=parts.get("test"),
        engine=engine,
        init_checkpoint=init_checkpoint,
        tokenizer=tokenizer,
        data=data,
        allow_random_heads=allow_random_heads,
    )
    if not seeds and not grid:
        return TrainingResult(run_dir, run(config, run_dir=run_dir), seed=config.train.seed)
    seeds, grid = seeds or [config.train.seed], grid or {}
    order = itertools.product(points_of(grid), seeds)
    runs: list[TrainingResult] = []

    def run_in(changed: FinetuningConfig, folder: str) -> dict[str, Any]:
        settings, seed = next(order)
        runs.append(TrainingResult(folder, run(changed, run_dir=folder, shared_dir=run_dir), settings, seed))
        return runs[-1].scores

    score = config.metric or task.main_score(labels)
    summary = sweep(config, seeds, grid, model_dir=run_dir, run=run_in, score=score)
    return SweepResult(run_dir, score, summary["points"], runs)
