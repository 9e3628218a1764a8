"""Sweeps, which run one experiment with several seeds and settings, in one command that may be interrupted.

```
model_dir/learning_rate=5e-05,batch_size=16/seed-0/  ...   each a run's folder
model_dir/results.jsonl    one line a finished run        model_dir/summary.json    mean and deviation over the seeds
```
"""

import itertools
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bert_tf.configs import FinetuningConfig
from bert_tf.configs.experiment_files import with_overrides
from bert_tf.runs.result import gain
from bert_tf.utils import files, json_text
from bert_tf.utils.arguments import renamed

RESULTS_FILE = "results.jsonl"
SUMMARY_FILE = "summary.json"


def parse_grid(assignments: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each field of a grid, given as texts such as `train.learning_rate=5e-5,3e-5,2e-5`.

    Raises:
        ValueError: a text does not have this form, or a field occurs twice.
    """
    grid: dict[str, list[str]] = {}
    for assignment in assignments:
        name, equals, values = assignment.partition("=")
        found = [value.strip() for value in values.split(",") if value.strip()]
        if not equals or not found or name.strip() in grid:
            raise ValueError(f"`grid` takes NAME=VALUE,VALUE, each name once. Received: {assignment!r}")
        grid[name.strip()] = found
    return grid


def points_of(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return the settings of each point of a grid, in the order in which `sweep` runs them."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def sweep(
    config: FinetuningConfig,
    seeds: Sequence[int],
    grid: Mapping[str, Sequence[Any]],
    *,
    model_dir: str,
    run: Callable[[FinetuningConfig, str], dict[str, Any]],
    score: str,
) -> dict[str, Any]:
    """Run every point of the grid with every seed, and summarize the scores. Finished runs are not repeated.

    Args:
        config: the experiment.
        seeds: the values of `train.seed`.
        grid: the values of each field, such as the result of `parse_grid`, where texts are read as those of `--set`;
            {} for the experiment as it is.
        model_dir: the folder of all runs.
        run: a function that trains a configuration in a folder, continuing an interrupted run, and returns its scores.
        score: the name of the score whose mean over the seeds decides which point is the best.

    Returns:
        The `points`, best first. Each has its `settings` and, for each score, `mean`, `deviation` (of the sample; 0.0
        for one seed) and `values`.

    Raises:
        ConfigError: the grid has an unknown field, or a value that a field cannot have.
    """
    points = points_of(grid)
    configs = [_with(config, settings) for settings in points]  # checks all settings before the first run
    with renamed(folder="model_dir"):
        files.require_writable_folder(model_dir)
    lines: list[str] = []
    found: list[dict[str, Any]] = []
    for settings, changed in zip(points, configs, strict=True):
        scores = []
        for seed in seeds:
            folder = os.path.join(model_dir, folder_of(settings), f"seed-{seed}")
            run_scores = run(changed.replace(train=changed.train.replace(seed=seed)), folder)
            scores.append(_numbers(run_scores))
            lines.append(json_text.dumps({"settings": settings, "seed": seed} | scores[-1]))
            files.write_text(os.path.join(model_dir, RESULTS_FILE), "\n".join(lines) + "\n")
        found.append({"settings": settings, "seeds": list(seeds)} | _summary(scores))
    if any(score not in point["mean"] for point in found):
        raise ValueError(f"`metric` must be one of {', '.join(found[0]['mean'])}. Received: {score!r}")
    found.sort(key=lambda point: -gain(score, point["mean"][score]))
    summary = {"score": score, "points": found}
    files.write_json(os.path.join(model_dir, SUMMARY_FILE), summary)
    return summary


def _with(config: FinetuningConfig, settings: Mapping[str, Any]) -> FinetuningConfig:
    changes = [f"{name}={value}" if isinstance(value, str) else (name, value) for name, value in settings.items()]
    return with_overrides(config, changes)


def folder_of(settings: Mapping[str, Any]) -> str:
    """Return the folder of a point of a grid, below that of all runs; "" without settings."""
    return ",".join(f"{name.rpartition('.')[2]}={value}" for name, value in settings.items())


def _numbers(run_scores: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the scores that are numbers; the names of test scores begin with `test/`."""
    found = {f"{prefix}{name}": value for name, value in run_scores.items() if isinstance(value, int | float)}
    return found | (_numbers(run_scores["test"], "test/") if isinstance(run_scores.get("test"), dict) else {})


def _summary(scores: Sequence[dict[str, float]]) -> dict[str, Any]:
    values = {name: [each[name] for each in scores] for name in scores[0]}
    return {
        "mean": {name: statistics.fmean(numbers) for name, numbers in values.items()},
        "deviation": {name: statistics.stdev(numbers) if len(numbers) > 1 else 0.0 for name, numbers in values.items()},
        "values": values,
    }
