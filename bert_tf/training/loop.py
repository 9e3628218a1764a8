"""The outer loop on the host, which logs, saves and evaluates between calls of the compiled inner loop."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from absl import logging

from bert_tf import optimization
from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.runs import checkpoints
from bert_tf.runs.checkpoint_writer import CheckpointWriter
from bert_tf.runs.metrics_log import Evaluation, MetricsLog
from bert_tf.training.engine import Engine, State
from bert_tf.training.step_metrics import MetricSums, nonfinite_message, nonfinite_part
from bert_tf.training.throughput import ThroughputMeter
from bert_tf.training.turns import Turns, TurnSteps
from bert_tf.utils.preemption import Preempted, TerminationNotice
from bert_tf.utils.progress import progress_bar

# SIGTERM and Ctrl-C are handled when the device returns. This time is well within the 30 seconds that clusters give,
# and long enough to cost nothing.
_SECONDS_BETWEEN_RETURNS = 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hooks:
    """The functions that a training calls beside its steps. Each may be left out.

    Attributes:
        evaluate: returns losses and metrics of the state's model on the whole evaluation set.
        initialize: assigns other weights, such as those of another run, to a new state.
        after_evaluation: returns whether to stop, given all evaluations so far, the newest last. It must depend on the
                evaluations alone, so that a run that is started again stops at the same point.
        describe_batch: describes, for messages, the records in the batch of a step, counted from 0.
        still_held: raises OSError once another job has taken the run's folder (`RunLock.check`).
        step_flops: returns the floating-point operations of a step over all devices, given the length of its rows, for
                the share of `train.peak_tflops`.
    """

    evaluate: Callable[[], dict[str, Any]] | None = None
    initialize: Callable[[State], None] | None = None
    after_evaluation: Callable[[Sequence[Evaluation]], bool] | None = None
    describe_batch: Callable[[int], str] | None = None
    still_held: Callable[[], None] | None = None
    step_flops: Callable[[int], float] | None = None


def train_and_evaluate(
    *,
    engine: Engine,
    state: State,
    turns: Turns,
    run_dir: str,
    train: TrainConfig,
    optimizer: OptimizerConfig,
    hooks: Hooks | None = None,
    label: str = "training",
) -> dict[str, Any]:
    """Train up to `train.num_steps`, with logs, checkpoints and evaluations.

    The weights come from the first of these sources that exists:
      1. the newest checkpoint in `run_dir` that can be read: weights, moments and step, from which the data continue;
      2. `hooks.initialize` (such as another run's encoder, `--init_checkpoint`);
      3. the fresh weights that the model was made with.

    A run that is stopped at any point and started again makes the same updates and writes the same `metrics.jsonl`,
    except for times. On SIGTERM and Ctrl-C, the run saves a checkpoint and stops.

    Args:
        engine: the devices and processes.
        state: the state of model and optimizer, made by the engine.
        turns: what is trained on which data: an objective and its batches, or several that take turns.
        run_dir: the run's folder, claimed (`runs.folder.claimed`).
        train: the settings of the loop.
        optimizer: the update rule.
        hooks: the functions to call beside the steps; None for none.
        label: the label of the progress bar.

    Returns:
        The metrics of the last evaluation or, without evaluation, the last logged metrics of training.

    Raises:
        FloatingPointError: the loss or the gradient is not finite. The last checkpoint is kept.
        Preempted: SIGTERM was received. The newest checkpoint is that of the last update.
        KeyboardInterrupt: Ctrl-C was received. The newest checkpoint is that of the last update.
        OSError: a checkpoint or the log cannot be written. Earlier checkpoints are kept.
        ConnectionError: another process of the job was lost. The last checkpoint is kept.
        ValueError: no checkpoint can be read, or the checkpoints do not fit the model.
    """
    hooks = hooks or Hooks()
    newest = _restore(engine, state, run_dir, hooks)
    start = state.num_updates
    engine.require_agreement("step to go on from", start)
    steps = TurnSteps(engine, state, turns, train=train, optimizer=optimizer)
    with (
        engine.naming_lost_processes(),
        TerminationNotice() as notice,
        CheckpointWriter(run_dir, train.keep_checkpoints, train.keep_checkpoint_every_hours) as writer,
        engine.profile(os.path.join(run_dir, "train"), train.profile_steps if engine.is_chief else ()) as profile,
    ):
        log = MetricsLog(run_dir, start, writes=engine.is_chief)
        run = _Run(engine, state, hooks, train, optimizer, newest=newest, log=log, writer=writer, notice=notice)
        try:
            run.make_up_for_evaluation()
            # The hook is asked for a finished run as well, because it learns there which evaluation was the best.
            is_time_to_stop = run.is_time_to_stop()
            if is_time_to_stop or run.step >= train.num_steps:
                return run.results
            batches = turns.batches(engine, start)
            with progress_bar(label=label, total=train.num_steps, unit="step", initial=start) as bar:
                while run.step < train.num_steps and not run.stopped:
                    count = run.steps_until_return()
                    profile.at(run.step)
                    is_first = run.step == start
                    run.make_steps(steps, batches, count)
                    (bar.skip if is_first else bar.update)(count)  # the first steps waited for a compilation
                    run.do_what_is_due(bar.show)
            run.save()
        except Preempted:
            run.save()
            writer.wait()
            kind, cause = (KeyboardInterrupt, "Ctrl-C") if notice.interrupted else (Preempted, "SIGTERM")
            raise kind(
                f"stopped by {cause} at step {run.step} of {train.num_steps}, which is saved; the same command or call "
                "resumes"
            ) from None
    return run.results


def _restore(engine: Engine, state: State, run_dir: str, hooks: Hooks) -> checkpoints.Checkpoint | None:
    """Assign the weights to the state, and return the checkpoint that they come from, if one exists."""
    newest = checkpoints.restore_newest(run_dir, state.variables(), set_aside=engine.is_chief)
    if newest is None:
        if hooks.initialize is not None:
            hooks.initialize(state)
        state.start_averages()
    return newest


class _Run:
    """The progress of a run: its step, the metrics since its last log line, and the work between steps."""

    def __init__(
        self,
        engine: Engine,
        state: State,
        hooks: Hooks,
        train: TrainConfig,
        optimizer: OptimizerConfig,
        *,
        newest: checkpoints.Checkpoint | None,
        log: MetricsLog,
        writer: CheckpointWriter,
        notice: TerminationNotice,
    ) -> None:
        progress = newest.marker()["progress"] if newest is not None else {}
        self.step = state.num_updates
        self.stopped = False
        self.results = log.metrics("eval" if hooks.evaluate else "train", self.step)
        self._metrics = MetricSums.from_json(progress["logged"]) if "logged" in progress else MetricSums()
        self._skipped_steps = progress.get("skipped_steps", 0)
        self._engine, self._state, self._hooks = engine, state, hooks
        self._train, self._optimizer = train, optimizer
        self._log, self._writer, self._notice = log, writer, notice
        self._budget = _StepBudget()
        self._meter = ThroughputMeter(
            hooks.step_flops, train.peak_tflops * 1e12 * engine.num_devices, engine.device_memory_gib
        )
        self._saved_step = newest.step if newest is not None else None

    def steps_until_return(self) -> int:
        """Return how many steps the device may make before the host has work to do.

        Raises:
            Preempted: one of the job's processes received SIGTERM or Ctrl-C.
        """
        budget, notices = self._engine.sum_over_processes([self._budget.steps, self._notice.received])
        if notices:
            raise Preempted
        return min(_steps_to_next_event(self.step, self._train), int(budget / self._engine.num_processes))

    def make_steps(self, steps: TurnSteps, batches: Sequence[Iterator[Any]], count: int) -> None:
        """Make `count` updates, and count their metrics.

        Raises:
            FloatingPointError: the loss or the gradient was not finite more often than allowed.
        """
        asked = time.monotonic()
        values, waited = steps(batches, count)
        seconds = time.monotonic() - asked
        self._budget.add(count, seconds)
        self._meter.add(steps.names, values, seconds=seconds, waited=waited)
        self._count(steps.names, values)

    def _count(self, names: Sequence[str], values: np.ndarray) -> None:
        for of_step in values:
            self.step += 1
            part = nonfinite_part(names, of_step, list(self._state.weights))
            if part is not None:
                self._skipped_steps += 1
                allowed = self._train.skip_nonfinite
                message = nonfinite_message(
                    self.step, part, self._hooks.describe_batch, count=self._skipped_steps, allowed=allowed
                )
                if self._skipped_steps > allowed:
                    raise FloatingPointError(message)
                logging.warning("%s", message)
            self._metrics.add(names, of_step, skipped=part is not None)

    def do_what_is_due(self, show: Callable[[str], None]) -> None:
        """Log, save and evaluate, if these are due at this step.

        Args:
            show: a function that shows a line beside the progress bar.
        """
        train = self._train
        self._writer.check()
        if self._hooks.still_held is not None:
            self._hooks.still_held()
        if _is_due(self.step, train.log_every, train.num_steps):
            values = self._log_training()
            show(_summary(values))
            if self._hooks.evaluate is None:
                self.results = values
        if _is_due(self.step, train.checkpoint_every, train.num_steps):
            self.save()
        if self._hooks.evaluate is not None and _is_due(self.step, train.eval_every, train.num_steps):
            self._evaluate()
            self.stopped = self.is_time_to_stop()

    def make_up_for_evaluation(self) -> None:
        """Evaluate now if the run was stopped between a checkpoint and the evaluation after it."""
        train = self._train
        if self._hooks.evaluate is None or not self.step or self.results:
            return
        if _is_due(self.step, train.eval_every, train.num_steps):
            self._evaluate()

    def _evaluate(self) -> None:
        assert self._hooks.evaluate is not None
        # If one of several processes left an evaluation early, the others would wait for it forever.
        alone = self._engine.num_processes == 1
        with self._state.evaluated_weights(), self._notice.interrupting() if alone else nullcontext():
            self.results = self._hooks.evaluate()
        self._log.write("eval", self.step, self.results)

    def is_time_to_stop(self) -> bool:
        """Return whether training should stop, given the evaluations so far."""
        evaluations = self._log.evaluations()
        if self._hooks.after_evaluation is None or not evaluations:
            return False
        with self._state.evaluated_weights():
            return self._hooks.after_evaluation(evaluations)

    def _log_training(self) -> dict[str, Any]:
        """Write the metrics of all steps since the last line, and return them."""
        values: dict[str, Any] = self._metrics.ratios() | {"weight_norm": self._state.weight_norm()}
        values["learning_rate"] = float(optimization.learning_rate_at(self.step - 1, self._train, self._optimizer))
        if self._train.skip_nonfinite:
            values["skipped_steps"] = self._skipped_steps
        values |= self._meter.report()
        self._log.write("train", self.step, values)
        self._metrics = MetricSums()
        return values

    def save(self) -> None:
        """Start to write this step's checkpoint, unless it exists."""
        if self._saved_step == self.step:
            return
        self._saved_step = self.step
        variables = self._state.variables()
        if self._state.is_read_together:
            variables = checkpoints.host_copy(variables)
        # All processes of a job hold the same values, so the chief writes for all without asking them.
        if self._engine.is_chief:
            progress = {"logged": self._metrics.to_json(), "skipped_steps": self._skipped_steps}
            self._writer.save(self.step, variables, progress)


class _StepBudget:
    """The number of steps that may run on the device between two returns to the host.

    Attributes:
        steps: the number of steps that take about `_SECONDS_BETWEEN_RETURNS`; 1 until the speed is known.
    """

    def __init__(self) -> None:
        self.steps = 1
        self._is_traced = False

    def add(self, steps: int, seconds: float) -> None:
        """Adapt the budget to the speed of `steps` steps that took `seconds`."""
        if self._is_traced:
            self.steps = max(1, int(steps * _SECONDS_BETWEEN_RETURNS / max(seconds, 1e-6)))
        self._is_traced = True  # the time of the first call is mostly that of tracing and compiling


def _is_due(step: int, every: int, last: int) -> bool:
    return step >= last or (every > 0 and step % every == 0)


def _steps_to_next_event(step: int, train: TrainConfig) -> int:
    """Return how many steps may run on the device before a log, checkpoint, evaluation or profile is due."""
    periods = (train.steps_per_loop, train.log_every, train.checkpoint_every, train.eval_every)
    ends = [train.num_steps, *(edge for edge in train.profile_steps if edge > step)]
    return min(*(end - step for end in ends), *(every - step % every for every in periods if every > 0))


def _summary(values: dict[str, Any]) -> str:
    """Return the metrics that the progress bar shows beside rate and time left.

    A loss for which the batches hold nothing, such as that of next sentences of an `mlm` corpus, is NaN and left out.
    """
    losses = [f"{name} {value:.3f}" for name, value in values.items() if name.endswith("loss") and not np.isnan(value)]
    return ", ".join([*losses, f"{values['tokens_per_second']:,.0f} tokens/s"])
