"""The check of an experiment on a topology, which compiles its step and reports the resources it needs."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from bert_tf.configs import PretrainingConfig
from bert_tf.models.flops import pretraining_step_flops
from bert_tf.training.native_precision import TPU
from tpu_configs.batches import predictions_in
from tpu_configs.compiler import GIB, DoesNotFitError, Program
from tpu_configs.measurements import JaxMeasurement, Measurement
from tpu_configs.topologies import Topology


@dataclasses.dataclass(frozen=True)
class CompiledStep:
    """A step of training, compiled for a topology.

    Attributes:
        engine: the engine whose step it is.
        program: the program that the compiler made of it.
        versions: the versions of the packages that lowered and compiled it.
        findings: the operations that the compiler accepts but a TPU should not see; None if they were not looked for.
    """

    engine: str
    program: Program
    versions: str
    findings: Sequence[Any] | None = None


class CompileStep(Protocol):
    """A function that compiles the training step of an experiment for all devices of a topology."""

    def __call__(
        self, topology: Topology, config: PretrainingConfig, *, rows: int, max_seq_length: int
    ) -> CompiledStep:
        """Compile the step with `rows` rows of `max_seq_length` tokens on each device."""


@dataclasses.dataclass(frozen=True)
class Check:
    """An experiment's step, compiled for a topology.

    Attributes:
        topology: the topology that the step was compiled for.
        experiment: the name of the experiment's file, without its suffix.
        config: the experiment.
        rows: the number of rows that a device takes.
        max_seq_length: the number of tokens in a row.
        compiled: the step.
    """

    topology: Topology
    experiment: str
    config: PretrainingConfig
    rows: int
    max_seq_length: int
    compiled: CompiledStep

    @property
    def program(self) -> Program:
        """The program that the compiler made of the step."""
        return self.compiled.program

    @property
    def hand_flops(self) -> float:
        """The floating-point operations of a device's matrix products in one step, counted by hand."""
        predictions = predictions_in(self.config, self.max_seq_length)
        return pretraining_step_flops(self.config.model, self.rows, self.max_seq_length, predictions=predictions)

    def lines(self) -> list[str]:
        """Return the report."""
        topology, program, model = self.topology, self.program, self.config.model
        free = topology.hbm_gib - program.total / GIB
        options = [f"dropout {model.dropout_rate:g}"]
        if self.compiled.engine == "jax":
            options.append(f"{model.attention} attention")
            options.append(f"{'sharded' if self.config.train.shard_optimizer else 'whole'} moments")
        lint = []
        if self.compiled.findings is not None:
            lint = [f"lint         {finding}" for finding in self.compiled.findings]
            lint = lint or ["lint         nothing that a TPU should not see"]
        return [
            f"topology     {topology.name}: {topology.devices} x {program.device_kind} "
            f"({topology.compiler.topology_name}), {topology.hosts} host{'s' if topology.hosts > 1 else ''}",
            f"step         {self.experiment}: {self.rows} rows of {self.max_seq_length} a device, "
            f"{self.rows * topology.devices} in all; {self.config.train.precision}, {', '.join(options)}",
            *lint,
            f"compiles     yes, in {program.seconds:.0f} s ({self.compiled.versions})",
            f"HBM          {program.total / GIB:.2f} of {topology.hbm_gib:.2f} GiB a device, {free:.2f} free: "
            f"arguments {program.arguments / GIB:.2f}, temporaries {program.temporaries / GIB:.2f}, code "
            f"{program.code / GIB:.3f}, results that take no argument's place {program.results / GIB:.3f}",
            f"FLOPs        {program.flops:.4g} a step and device by the compiler, {self.hand_flops:.4g} by hand, "
            f"products of matrices alone; {self.hand_flops / topology.peak_tflops / 1e9:.4g} ms at the peak",
            f"all-reduce   {len(program.all_reduces)}, each over all {topology.devices} replicas; "
            f"{program.other_transfers} other transfers between devices",
        ]

    def measurement(self, largest_batch: int | None) -> Measurement:
        """Return the measurements in the form of the topology's file."""
        program = self.program
        measured = Measurement(
            experiment=self.experiment,
            max_seq_length=self.max_seq_length,
            batch_per_device=self.rows,
            arguments_gib=round(program.arguments / GIB, 2),
            temporaries_gib=round(program.temporaries / GIB, 2),
            code_gib=round(program.code / GIB, 3),
            total_gib=round(program.total / GIB, 2),
            compiler_tflop=round(program.flops / 1e12, 3),
            hand_tflop=round(self.hand_flops / 1e12, 3),
            all_reduces=len(program.all_reduces),
            largest_batch=largest_batch,
            versions=self.compiled.versions,
        )
        if self.compiled.engine != "jax":
            return measured
        attention, shard_optimizer = self.config.model.attention, self.config.train.shard_optimizer
        return JaxMeasurement(**measured.to_dict(), attention=attention, shard_optimizer=shard_optimizer)


def check(
    topology: Topology,
    experiment: str,
    config: PretrainingConfig,
    *,
    rows: int,
    max_seq_length: int,
    compile_step: CompileStep,
) -> Check:
    """Compile an experiment's step for a topology.

    Args:
        topology: the topology to compile for.
        experiment: the name of the experiment's file, for the report.
        config: the experiment.
        rows: the number of rows that a device takes.
        max_seq_length: the number of tokens in a row.
        compile_step: the function that compiles the step of an engine.

    Raises:
        DoesNotFitError: a device's memory is too small.
        ValueError: the step cannot run on a TPU, or its gradients are not summed over all replicas.
    """
    config = config.replace(train=config.train.with_precision(TPU.precision))
    config.model.check_fits(config.model.vocab_size, max_seq_length)
    compiled = compile_step(topology, config, rows=rows, max_seq_length=max_seq_length)
    reduced = set(compiled.program.all_reduces)
    if reduced != {topology.devices}:
        raise ValueError(
            f"the gradients must be summed over all {topology.devices} replicas. Received: all-reduces over "
            f"{sorted(reduced) or 'none'}"
        )
    return Check(topology, experiment, config, rows, max_seq_length, compiled)


def find_largest_batch(check_rows: Callable[[int], Any], first: int, usable_gib: float, *, step: int = 8) -> int:
    """Return the largest number of rows for which a device has room, in steps of `step`.

    Memory grows almost linearly with the rows. So the next guess is where the line through the last two points (at
    first, one point and zero) reaches the device's memory. The search ends when a batch fits that is one step smaller
    than a batch that does not fit.

    Args:
        check_rows: a function of the number of rows that returns a `Check` or raises DoesNotFitError.
        first: the number of rows of the first guess.
        usable_gib: the memory of a device.
        step: the step of the search, in rows.

    Returns:
        The number of rows; 0 if `step` rows are too many.
    """
    points: list[tuple[int, float]] = []
    low, high = 0, None
    guess = max(step, first // step * step)
    while high is None or high - low > step:
        try:
            found = check_rows(guess)
            low, needed = guess, found.program.total / GIB
            print(f"{guess} rows a device: {needed:.2f} GiB", flush=True)
        except DoesNotFitError as error:
            high, needed = guess, error.needed_gib
            print(f"{guess} rows a device: {error}", flush=True)
        if needed is not None:
            points.append((guess, needed))
        guess = _next_guess(points, low, high, usable_gib, step)
    return low


def _next_guess(points: list[tuple[int, float]], low: int, high: int | None, usable_gib: float, step: int) -> int:
    """Return a multiple of `step` above `low` and below `high`."""
    target = 2 * low if high is None else (low + high) // 2
    if len(points) == 1:  # ignores the memory that does not grow with the rows, and so guesses a little too low
        ((rows, gib),) = points
        target = int(rows * usable_gib / gib)
    elif points:
        (rows, gib), (other_rows, other_gib) = points[-2:]
        slope = (gib - other_gib) / (rows - other_rows)
        if slope > 0:
            target = int(other_rows + (usable_gib - other_gib) / slope)
    target = target // step * step
    return max(low + step, target if high is None else min(target, high - step))
