"""The project's own training step as a program for one of a topology's devices, without any device: route A.

TensorFlow lowers the step with its CPU kernels to StableHLO, which `compiler.py` then compiles for the TPU. Weights,
moments and step are arguments and results, and the module says which result takes which argument's place.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from bert_tf.configs import PretrainingConfig
from bert_tf.configs.training import DTYPE_POLICIES
from bert_tf.features import predictions_per_row, pretraining_batch
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.objectives.objective import pretraining_objective
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.state import TrainState
from bert_tf.training.tensorflow_engine.step import TrainStep
from tpu_configs.lint import Finding, lint

Specs = Mapping[str, tf.TensorSpec]
Step = Callable[[dict[str, Any]], Any]


class CompiledReplica(Distribution):
    """One of several replicas of a program that is compiled for all of them, as TPUStrategy does it.

    Args:
        num_replicas: devices that the program is compiled for.
    """

    def __init__(self, num_replicas: int) -> None:
        super().__init__()
        self.num_replicas = num_replicas

    @property
    def is_tpu(self) -> bool:
        """True: the program is compiled for a TPU."""
        return True

    def replica_id(self) -> Any:
        """Return the number of the device that runs the program, a scalar."""
        return gen_xla_ops.xla_replica_id()

    def all_reduce(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return each tensor's sum over all replicas; the compiler joins them into few transfers."""
        group = [list(range(self.num_replicas))]
        return [
            gen_xla_ops.xla_all_reduce(
                input=tf.convert_to_tensor(tensor), group_assignment=group, reduce_op="Add", mode="CrossReplica"
            )
            for tensor in tensors
        ]


@dataclasses.dataclass(frozen=True)
class LoweredStep:
    """A step in the form that a compiler takes.

    Attributes:
        stablehlo: the serialized module.
        findings: operations that a TPU should not see, and that the compiler lets through.
        versions: of what lowered it.
        aliases: argument -> the result that takes its place, where the module does not say so itself.
    """

    stablehlo: bytes
    findings: list[Finding]
    versions: str
    aliases: dict[int, int] = dataclasses.field(default_factory=dict)


def pretraining_specs(config: PretrainingConfig, rows: int, max_seq_length: int, *, sequences: int = 1) -> Specs:
    """Return names, shapes and dtypes of a device's part of a batch.

    Args:
        config: of the experiment.
        rows: of a device.
        max_seq_length: L.
        sequences: K, most sequences in a row; 1 for rows that are not packed.
    """
    predictions = predictions_in(config, max_seq_length)
    features = pretraining_batch(rows, max_seq_length, predictions, max_sequences_per_row=sequences)
    return {name: tf.TensorSpec(feature.shape, feature.dtype, name) for name, feature in features.items()}


def predictions_in(config: PretrainingConfig, max_seq_length: int) -> int:
    """Return P, the positions for predictions in a row of this length."""
    masking = config.masking
    return masking.max_predictions_per_seq or predictions_per_row(masking.masked_lm_rate, max_seq_length)


def pretraining_step(config: PretrainingConfig, num_replicas: int) -> tuple[Step, TrainState]:
    """Return the training step (`TrainStep`) of a pre-training experiment, and the state that it changes.

    Args:
        config: of the experiment.
        num_replicas: devices of the topology.
    """
    # What a strategy does with the step as well: it is no program of its own, and not cut into parts for CPU cores.
    train = config.train.replace(jit_compile=False, concurrent_parts=1)
    state = TrainState(BertPretrainer(config.model, dtype=DTYPE_POLICIES[train.precision]), train.precision, train)
    step = TrainStep(
        state,
        pretraining_objective(),
        train=train,
        optimizer=config.optimizer,
        distribution=CompiledReplica(num_replicas),
    )
    return step, state


def traced(step: Step, specs: Specs) -> tuple[Any, list[Finding]]:
    """Return the step as a compilable `tf.function` of flat arguments, and what `lint` found in it.

    Raises:
        ValueError: a shape is not known, or an operation cannot run on a TPU; the message names it.
    """
    unknown = [name for name, spec in specs.items() if not spec.shape.is_fully_defined()]
    if unknown:
        raise ValueError(
            f"a TPU needs static shapes: `{unknown[0]}` must have one. Received: {tuple(specs[unknown[0]].shape)}"
        )

    def flat(*tensors: tf.Tensor) -> Any:
        return step(dict(zip(specs, tensors, strict=True)))

    function = tf.function(flat, jit_compile=True, autograph=False)
    findings = lint(function.get_concrete_function(*specs.values()).graph)
    refused = [finding for finding in findings if finding.refused]
    if refused:
        raise ValueError(f"the step cannot run on a TPU: {refused[0]}")
    return function, findings


def lower(step: Step, specs: Specs) -> LoweredStep:
    """Return the step as StableHLO, by TensorFlow's CPU kernels.

    Args:
        step: a function of a batch, which changes variables in place.
        specs: of the batch.

    Raises:
        ValueError: a shape is not known, or an operation cannot be compiled; the message names it.
    """
    function, findings = traced(step, specs)
    versions = f"tensorflow {tf.__version__}, route A"
    return LoweredStep(compiler_ir(function, list(specs.values()), "CPU"), findings, versions)


def compiler_ir(function: Any, specs: Sequence[tf.TensorSpec], platform: str) -> bytes:
    """Return the serialized StableHLO of a compiled `tf.function`.

    Raises:
        ValueError: an operation cannot be compiled; the message names it.
    """
    try:
        return function.experimental_get_compiler_ir(*specs)(stage="stablehlo_serialized", platform_name=platform)
    except (ValueError, tf.errors.OpError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ValueError(f"TensorFlow cannot lower the step: {lines[0]}") from None
