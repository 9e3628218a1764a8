"""The training step of the TensorFlow engine, compiled for a topology: TensorFlow lowers it, and JAX compiles it."""

from typing import Protocol

from bert_tf.configs import PretrainingConfig
from tpu_configs import compiler, lowering
from tpu_configs.checking import CompiledStep
from tpu_configs.topologies import Topology


class Lower(Protocol):
    """A function that turns the training step of an experiment into StableHLO."""

    def __call__(
        self, config: PretrainingConfig, *, replicas: int, rows: int, max_seq_length: int
    ) -> lowering.LoweredStep:
        """Lower the step for `replicas` devices with `rows` rows of `max_seq_length` tokens each."""


def lower_by_cpu_kernels(
    config: PretrainingConfig, *, replicas: int, rows: int, max_seq_length: int
) -> lowering.LoweredStep:
    """Lower the step by route A, which `lowering` describes."""
    step, _ = lowering.pretraining_step(config, replicas)
    return lowering.lower(step, lowering.pretraining_specs(config, rows, max_seq_length))


def compile_step(
    topology: Topology,
    config: PretrainingConfig,
    *,
    rows: int,
    max_seq_length: int,
    lower: Lower = lower_by_cpu_kernels,
) -> CompiledStep:
    """Lower and compile an experiment's step for all devices of a topology.

    Args:
        topology: the topology to compile for.
        config: the experiment.
        rows: the number of rows that a device takes.
        max_seq_length: the number of tokens in a row.
        lower: the function that lowers the step.

    Raises:
        DoesNotFitError: a device's memory is too small.
        ValueError: the step cannot run on a TPU.
    """
    lowered = lower(config, replicas=topology.devices, rows=rows, max_seq_length=max_seq_length)
    program = compiler.compile_for(topology, lowered.stablehlo, lowered.aliases)
    return CompiledStep("tensorflow", program, f"{lowered.versions}, {program.versions}", lowered.findings)
