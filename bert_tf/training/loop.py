"""The loop around the step: compiled inner loop, host outer loop for logs, checkpoints and evaluations."""

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from bert_tf import files, metrics, optimization
from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.losses import Sums
from bert_tf.objectives import Objective
from bert_tf.progress import progress_bar
from bert_tf.training import checkpoints
from bert_tf.training.distribution import Distribution
from bert_tf.training.step import TrainState, make_evaluation_step, make_train_step

DatasetFrom = Callable[[int], tf.data.Dataset]
"""step -> the data set of global batches from this step on."""

Evaluation = tuple[int, dict[str, Any]]
"""Step, and what the evaluation after it gave."""


def train_and_evaluate(
    state: TrainState,
    objective: Objective,
    train_data: DatasetFrom,
    evaluate: Callable[[], dict[str, Any]] | None,
    model_dir: str,
    train: TrainConfig,
    optimizer: OptimizerConfig,
    distribution: Distribution,
    initialize: Callable[[TrainState], None] | None = None,
    label: str = "training",
    after_evaluation: Callable[[Sequence[Evaluation]], bool] | None = None,
) -> dict[str, Any]:
    """Train to `train.num_steps`, with logs, checkpoints and evaluations on the way.

    Where the weights come from, in this order:
      1. the newest complete checkpoint in `model_dir`: weights, moments and step; the data go on from that step;
      2. `initialize` (such as another run's encoder, `--init_checkpoint`);
      3. the fresh weights that the model was made with.

    Args:
        state: model and optimizer, made in the distribution's scope.
        objective: losses and metrics.
        train_data: the data set of global batches from a step on.
        evaluate: losses and metrics of the state's model on the whole evaluation set; None for no evaluation.
        model_dir: the run's folder, claimed (`model_dir.claim`).
        train: steps, batch, logs, checkpoints.
        optimizer: the update rule.
        distribution: where it runs.
        initialize: see above.
        label: of the progress bar.
        after_evaluation: of all evaluations so far, the newest last: whether to stop here. A function of them alone, so
            that a run that is started again stops where it did.

    Returns:
        The last evaluation's metrics, or, without evaluation, the last logged training metrics.

    Raises:
        FloatingPointError: the loss is not finite; the last checkpoint stays.
    """
    newest = checkpoints.newest_checkpoint(model_dir)
    if newest is not None:
        checkpoints.restore(newest, state.variables())
    elif initialize is not None:
        initialize(state)
    start = int(state.step.numpy())

    log = _Log(model_dir, start)
    results: dict[str, Any] = log.figures("eval" if evaluate else "train", start)
    if evaluate is not None and start and not results and _is_due(start, train.eval_every, train.num_steps):
        # The run that this one goes on from was stopped between its checkpoint and its evaluation.
        results = evaluate()
        log.write("eval", start, results)
    stop = after_evaluation is not None and bool(log.evaluations()) and after_evaluation(log.evaluations())
    if start >= train.num_steps or stop:
        return results
    train_step = make_train_step(state, objective, train, optimizer, distribution)

    @tf.function
    def inner_loop(iterator: Any, steps: tf.Tensor) -> Any:
        sums = distribution.run(train_step, next(iterator))
        for _ in tf.range(steps - 1):
            sums = tf.nest.map_structure(tf.add, sums, distribution.run(train_step, next(iterator)))
        return sums

    iterator = iter(distribution.split(train_data(start)))
    step = start
    logged: Any = None
    logged_steps = 0
    with progress_bar(label=label, total=train.num_steps, unit="step", initial=start) as bar:
        while step < train.num_steps and not stop:
            steps = _steps_to_next_event(step, train)
            sums = inner_loop(iterator, tf.constant(steps))
            logged = sums if logged is None else tf.nest.map_structure(tf.add, logged, sums)
            logged_steps += steps
            step += steps
            _require_finite(sums, step)
            bar.update(steps)
            if _is_due(step, train.log_every, train.num_steps):
                values = metrics.ratios(logged)
                values["learning_rate"] = float(optimization.learning_rate_at(step - 1, train, optimizer))
                bar.set_postfix_str(", ".join(f"{k} {v:.3f}" for k, v in values.items() if k.endswith("loss")))
                log.write("train", step, values, steps=logged_steps)
                results, logged, logged_steps = (values if evaluate is None else results), None, 0
            if _is_due(step, train.checkpoint_every, train.num_steps):
                checkpoints.save(model_dir, step, state.variables(), train.keep_checkpoints)
            if evaluate is not None and _is_due(step, train.eval_every, train.num_steps):
                results = evaluate()
                log.write("eval", step, results)
                stop = after_evaluation is not None and after_evaluation(log.evaluations())
    if stop and step < train.num_steps and not _is_due(step, train.checkpoint_every, train.num_steps):
        checkpoints.save(model_dir, step, state.variables(), train.keep_checkpoints)
    return results


def _is_due(step: int, every: int, last: int) -> bool:
    return step >= last or (every > 0 and step % every == 0)


def _steps_to_next_event(step: int, train: TrainConfig) -> int:
    """How many steps may run on the device before the host has something to do."""
    periods = (train.steps_per_loop, train.log_every, train.checkpoint_every, train.eval_every)
    return min(train.num_steps - step, *(every - step % every for every in periods if every > 0))


def _require_finite(sums: Sums, step: int) -> None:
    """Stop before anything of a run that diverged is saved or reported."""
    bad = [f"{name} {float(total)}" for name, (total, _) in sums.items() if not math.isfinite(float(total))]
    if bad:
        raise FloatingPointError(
            f"the loss is not finite by step {step} ({', '.join(bad)}); the last checkpoint is kept. A lower "
            f"train.learning_rate, a longer warm-up, or train.precision=float32 are the usual mends"
        )


def make_evaluation(
    model: Any, objective: Objective, distribution: Distribution
) -> Callable[[tf.data.Dataset], dict[str, float]]:
    """A function of a data set: losses and metrics over the whole of it, divided once; compiled on its first call.

    Args:
        model: called without dropout.
        objective: losses and metrics.
        distribution: where it runs.

    Returns:
        A function of batches of one static shape, in which what pads the last one has weight 0. It raises ValueError
        where there is no batch.
    """
    evaluation_step = make_evaluation_step(model, objective, distribution)

    @tf.function
    def run(batch: Any) -> Any:
        return distribution.run(evaluation_step, batch)

    def evaluate(dataset: tf.data.Dataset) -> dict[str, float]:
        # Summed on the host in float64: a float32 sum of millions of terms loses the digits that seeds differ in.
        totals: dict[str, tuple[float, float]] = {}
        for batch in distribution.split(dataset):
            for name, (total, weight) in run(batch).items():
                before = totals.get(name, (0.0, 0.0))
                totals[name] = (before[0] + float(total), before[1] + float(weight))
        if not totals:
            raise ValueError("the evaluation set holds no batch")
        return metrics.ratios(totals)

    return evaluate


class _Log:
    """`metrics.jsonl` and TensorBoard's event files of one run."""

    def __init__(self, model_dir: str, start: int) -> None:
        self.path = os.path.join(model_dir, "metrics.jsonl")
        self.model_dir = model_dir
        self.writers: dict[str, Any] = {}
        self.since = time.monotonic()
        lines = files.read_text(self.path).splitlines() if files.exists(self.path) else []
        # Steps after the checkpoint that this run starts from are made again: their lines go.
        self.lines = [line for line in lines if json.loads(line)["step"] <= start]

    def evaluations(self) -> list[Evaluation]:
        """All evaluations so far, in order."""
        lines = [line for line in map(json.loads, self.lines) if line.pop("kind") == "eval"]
        return [(line.pop("step"), line) for line in lines]

    def figures(self, kind: str, step: int) -> dict[str, Any]:
        """What was written for this step, or nothing."""
        for line in map(json.loads, reversed(self.lines)):
            if (line.pop("kind"), line.pop("step")) == (kind, step):
                return line
        return {}

    def write(self, kind: str, step: int, values: dict[str, Any], steps: int | None = None) -> None:
        if steps is not None:
            now = time.monotonic()
            values = values | {"steps_per_second": steps / max(now - self.since, 1e-9)}
            self.since = now
        self.lines.append(json.dumps({"kind": kind, "step": step} | values))
        files.write_text(self.path, "\n".join(self.lines) + "\n")
        if kind not in self.writers:
            self.writers[kind] = tf.summary.create_file_writer(os.path.join(self.model_dir, kind))
        # `tf.summary.scalar` needs the tensorboard package only to name its plug-in: name it here.
        metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        )
        with self.writers[kind].as_default():
            for name, value in values.items():
                if isinstance(value, dict):
                    continue  # a table, such as the confusion matrix
                tf.summary.write(name, tf.constant(value, tf.float32), step=step, metadata=metadata)
        self.writers[kind].flush()
