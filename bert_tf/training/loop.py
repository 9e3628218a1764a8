"""The loop around the step: compiled inner loop, host outer loop for logs, checkpoints and evaluations."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from bert_tf import optimization
from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.objectives import metrics
from bert_tf.objectives.losses import Sums
from bert_tf.objectives.objective import Batch, Objective
from bert_tf.runs import checkpoints
from bert_tf.runs.checkpoint_writer import CheckpointWriter
from bert_tf.runs.metrics_log import Evaluation, MetricsLog
from bert_tf.training.step_metrics import FigureSums, nonfinite_message, nonfinite_part
from bert_tf.training.tensorflow_engine.averages import averaging
from bert_tf.training.tensorflow_engine.distribution import Distribution, InputPart
from bert_tf.training.tensorflow_engine.inner_loop import InnerLoop, Pace
from bert_tf.training.tensorflow_engine.profiling import StepProfile
from bert_tf.training.tensorflow_engine.step import TrainState, make_evaluation_step, make_train_step
from bert_tf.training.throughput import Meter, counting_tokens
from bert_tf.utils.preemption import Preempted, TerminationNotice
from bert_tf.utils.progress import progress_bar

DatasetFrom = Callable[[int, InputPart], tf.data.Dataset]
"""step, part -> that part of the global batches from this step on, without end."""


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
    describe_batch: Callable[[int], str] | None = None,
    still_held: Callable[[], None] | None = None,
    step_flops: Callable[[int], float] | None = None,
) -> dict[str, Any]:
    """Train to `train.num_steps`, with logs, checkpoints and evaluations on the way.

    Where the weights come from, in this order:
      1. the newest checkpoint in `model_dir` that can be read: weights, moments and step; the data go on from there;
      2. `initialize` (such as another run's encoder, `--init_checkpoint`);
      3. the fresh weights that the model was made with.

    A run that is stopped anywhere and started again makes the same updates and writes the same `metrics.jsonl`, but for
    times. On SIGTERM it saves a checkpoint and stops.

    Args:
        state: model and optimizer, made in the distribution's scope.
        objective: losses and metrics.
        train_data: the global batches from a step on, or a part of each.
        evaluate: losses and metrics of the state's model on the whole evaluation set; None for no evaluation.
        model_dir: the run's folder, claimed (`model_dir.claimed`).
        train: steps, batch, logs, checkpoints.
        optimizer: the update rule.
        distribution: where it runs.
        initialize: see above.
        label: of the progress bar.
        after_evaluation: of all evaluations so far, the newest last: whether to stop here. A function of them alone, so
            that a run that is started again stops where it did.
        describe_batch: which records the batch of a step, counted from 0, holds, for messages.
        still_held: raises OSError once another job has taken `model_dir` (`RunLock.check`).
        step_flops: of the length of a step's rows: its floating-point operations over all replicas, for the share of
            `train.peak_tflops`.

    Returns:
        The last evaluation's metrics, or, without evaluation, the last logged training metrics.

    Raises:
        FloatingPointError: loss or gradient are not finite; the last checkpoint stays.
        Preempted: SIGTERM came; the newest checkpoint is of the last step made.
        OSError: a checkpoint or the log cannot be written; the checkpoints before it stay.
        ConnectionError: another process of the job is gone; the last checkpoint stays.
        ValueError: no checkpoint can be read, or they do not fit the model.
    """
    newest = checkpoints.restore_newest(model_dir, state.variables(), set_aside=distribution.is_chief)
    if newest is None:
        if initialize is not None:
            initialize(state)
        if state.averages is not None:
            state.averages.reset()
    start = int(state.step.numpy())
    distribution.require_agreement("step to go on from", start)
    inner_loop = InnerLoop(_make_step(state, objective, train, optimizer, distribution), distribution)
    with (
        distribution.naming_lost_workers(),
        TerminationNotice() as notice,
        CheckpointWriter(model_dir, train.keep_checkpoints, train.keep_checkpoint_every_hours) as writer,
        StepProfile(os.path.join(model_dir, "train"), train.profile_steps if distribution.is_chief else ()) as profile,
    ):
        log = MetricsLog(model_dir, start, writes=distribution.is_chief)
        run = _Run(state, newest, log, writer, train, optimizer, distribution, describe_batch)
        run.results = log.figures("eval" if evaluate else "train", start)

        def evaluate_and_log() -> None:
            assert evaluate is not None
            # One worker that leaves an evaluation would leave the others waiting.
            with state.evaluated_weights(), notice.interrupting() if distribution.cluster.size == 1 else nullcontext():
                run.results = evaluate()
            log.write("eval", run.step, run.results)

        def is_time_to_stop() -> bool:
            evaluations = log.evaluations()
            if after_evaluation is None or not evaluations:
                return False
            with state.evaluated_weights():
                return after_evaluation(evaluations)

        try:
            if evaluate is not None and start and not run.results and _is_due(start, train.eval_every, train.num_steps):
                # The run that this one goes on from was stopped between its checkpoint and its evaluation.
                evaluate_and_log()
            stop = is_time_to_stop()
            if start >= train.num_steps or stop:
                return run.results
            iterator = iter(distribution.read(lambda part: train_data(start, part), endless=True))
            pace, meter = Pace(), Meter(step_flops, train.peak_tflops * 1e12 * distribution.num_replicas)
            with progress_bar(label=label, total=train.num_steps, unit="step", initial=start) as bar:
                while run.step < train.num_steps and not stop:
                    pace_steps, notices = distribution.sum_over_workers([pace.steps, notice.received])
                    if notices:
                        raise Preempted
                    profile.at(run.step)
                    steps = min(_steps_to_next_event(run.step, train), int(pace_steps / distribution.cluster.size))
                    asked = time.monotonic()
                    figures, waited = inner_loop(iterator, steps)
                    seconds = time.monotonic() - asked
                    pace.add(steps, seconds)
                    meter.add(inner_loop.names, figures, seconds, waited)
                    run.count(inner_loop.names, figures)
                    bar.update(steps)
                    writer.check()
                    if still_held is not None:
                        still_held()
                    if _is_due(run.step, train.log_every, train.num_steps):
                        values = run.log_training(meter)
                        bar.set_postfix_str(_summary(values))
                        if evaluate is None:
                            run.results = values
                    if _is_due(run.step, train.checkpoint_every, train.num_steps):
                        run.save()
                    if evaluate is not None and _is_due(run.step, train.eval_every, train.num_steps):
                        evaluate_and_log()
                        stop = is_time_to_stop()
            run.save()
        except Preempted:
            run.save()
            writer.wait()
            raise Preempted(
                f"stopped by SIGTERM at step {run.step} of {train.num_steps}, which is saved; the same command goes on"
            ) from None
    return run.results


class _Run:
    """How far a run is, what it has counted since its last line of figures, and how both are kept."""

    def __init__(
        self,
        state: TrainState,
        newest: checkpoints.Checkpoint | None,
        log: MetricsLog,
        writer: CheckpointWriter,
        train: TrainConfig,
        optimizer: OptimizerConfig,
        distribution: Distribution,
        describe_batch: Callable[[int], str] | None,
    ):
        progress = newest.marker()["progress"] if newest is not None else {}
        self.step = int(state.step.numpy())
        self.results: dict[str, Any] = {}
        self._counted = FigureSums.from_json(progress["logged"]) if "logged" in progress else FigureSums()
        self._skipped_steps = progress.get("skipped_steps", 0)
        self._state, self._log, self._writer, self._train, self._optimizer = state, log, writer, train, optimizer
        self._is_chief, self._describe_batch = distribution.is_chief, describe_batch
        self._weight_norm = tf.function(
            lambda: optimization.global_norm([weight.value for weight in state.weights.values()])
        )
        writer.step = newest.step if newest is not None else None

    def count(self, names: Sequence[str], figures: np.ndarray) -> None:
        """Take the figures of steps just made, [steps, figures, 2]; FloatingPointError where one must not be."""
        for of_step in figures:
            self.step += 1
            part = nonfinite_part(names, of_step, list(self._state.weights))
            if part is not None:
                self._skipped_steps += 1
                allowed = self._train.skip_nonfinite
                message = nonfinite_message(self.step, part, self._describe_batch, self._skipped_steps, allowed)
                if self._skipped_steps > allowed:
                    raise FloatingPointError(message)
                logging.warning("%s", message)
            self._counted.add(names, of_step, skipped=part is not None)

    def log_training(self, meter: Meter) -> dict[str, Any]:
        """Write, and return, the figures of all steps since the last line."""
        values: dict[str, Any] = self._counted.ratios() | {"weight_norm": float(self._weight_norm())}
        values["learning_rate"] = float(optimization.learning_rate_at(self.step - 1, self._train, self._optimizer))
        if self._train.skip_nonfinite:
            values["skipped_steps"] = self._skipped_steps
        values |= meter.report()
        self._log.write("train", self.step, values)
        self._counted = FigureSums()
        return values

    def save(self) -> None:
        """Hand this step's checkpoint over to be written, unless it stands."""
        # Workers of one job hold the same values, and nothing here asks the others: the chief writes for all.
        if self._writer.step != self.step and self._is_chief:
            progress = {"logged": self._counted.to_json(), "skipped_steps": self._skipped_steps}
            self._writer.save(self.step, self._state.variables(), progress)


def _make_step(
    state: TrainState, objective: Objective, train: TrainConfig, optimizer: OptimizerConfig, distribution: Distribution
) -> Callable[[Batch], Sums]:
    """The step of one replica, which tells its tokens too, and moves the averages where there are some."""
    step = make_train_step(state, counting_tokens(objective), train, optimizer, distribution)
    if state.averages is None:
        return step
    return averaging(step, state.averages, train.ema_decay, state.step, distribution)


def _is_due(step: int, every: int, last: int) -> bool:
    return step >= last or (every > 0 and step % every == 0)


def _steps_to_next_event(step: int, train: TrainConfig) -> int:
    """How many steps may run on the device before the host has something to do."""
    periods = (train.steps_per_loop, train.log_every, train.checkpoint_every, train.eval_every)
    ends = [train.num_steps, *(edge for edge in train.profile_steps if edge > step)]
    return min(*(end - step for end in ends), *(every - step % every for every in periods if every > 0))


def _summary(values: dict[str, Any]) -> str:
    """What the progress bar shows beside rate and time left."""
    losses = [f"{name} {value:.3f}" for name, value in values.items() if name.endswith("loss")]
    return ", ".join([*losses, f"{values['tokens_per_second']:,.0f} tokens/s"])


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
