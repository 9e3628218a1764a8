"""Route A of the TPU check: the training step as a program for one of a topology's devices, made without any device.

TensorFlow's CPU kernels lower the step to StableHLO, which `compiler.py` then compiles for the TPU. Weights, moments
and step are arguments and results, and the module says which result overwrites which argument.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from bert_tf.configs import PretrainingConfig
from bert_tf.configs.training import DTYPE_POLICIES
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.objectives.objective import pretraining_objective
from bert_tf.training.native_precision import TPU
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.state import TrainState
from bert_tf.training.tensorflow_engine.step import TrainStep
from tpu_configs.batches import pretraining_features
from tpu_configs.lint import Finding, lint

Specs = Mapping[str, tf.TensorSpec]
Step = Callable[[dict[str, Any]], Any]


class CompiledReplica(Distribution):
    """One of several replicas of a program that is compiled once for all of them, as TPUStrategy does.

    Args:
        num_replicas: the number of devices that the program is compiled for.
    """

    def __init__(self, num_replicas: int) -> None:
        super().__init__()
        self.num_replicas = num_replicas

    @property
    def is_tpu(self) -> bool:
        """True, because the program is compiled for a TPU."""
        return True

    def replica_id(self) -> Any:
        """Return the number of the device that runs the program, a scalar."""
        return gen_xla_ops.xla_replica_id()

    def all_reduce(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return each tensor's sum over all replicas. The compiler joins the sums into few transfers."""
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
        findings: the operations that a TPU should not see but the compiler accepts.
        versions: the version of the TensorFlow that lowered the step.
        aliases: for an argument's index, the index of the result that overwrites it, if the module does not say so.
    """

    stablehlo: bytes
    findings: list[Finding]
    versions: str
    aliases: dict[int, int] = dataclasses.field(default_factory=dict)


def pretraining_specs(config: PretrainingConfig, rows: int, max_seq_length: int, *, sequences: int = 1) -> Specs:
    """Return the names, shapes and dtypes of a device's part of a batch.

    Args:
        config: the experiment.
        rows: the number of rows that a device takes.
        max_seq_length: L.
        sequences: K, the largest number of sequences in a row; 1 for rows that are not packed.
    """
    features = pretraining_features(config, rows, max_seq_length, sequences=sequences)
    return {name: tf.TensorSpec(feature.shape, feature.dtype, name) for name, feature in features.items()}


def pretraining_step(config: PretrainingConfig, num_replicas: int) -> tuple[Step, TrainState]:
    """Return the training step (`TrainStep`) of a pre-training experiment, and the state that it changes.

    Args:
        config: the experiment.
        num_replicas: the number of devices of the topology.
    """
    # As under a strategy, the step is not compiled by itself and not split into parts for CPU cores.
    train = config.train.with_precision(TPU.precision).replace(jit_compile=False, concurrent_parts=1)
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
    """Return the step as a compilable `tf.function` of flat arguments, and the findings of `lint`.

    Raises:
        ValueError: a shape is not known, or an operation cannot run on a TPU. The message names it.
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
    """Return the step as StableHLO, lowered by TensorFlow's CPU kernels.

    Args:
        step: a function of a batch, which changes variables in place.
        specs: the names, shapes and dtypes of the batch.

    Raises:
        ValueError: a shape is not known, or an operation cannot be compiled. The message names it.
    """
    function, findings = traced(step, specs)
    versions = f"tensorflow {tf.__version__}, route A"
    return LoweredStep(compiler_ir(function, list(specs.values()), "CPU"), findings, versions)


def compiler_ir(function: Any, specs: Sequence[tf.TensorSpec], platform: str) -> bytes:
    """Return the serialized StableHLO of a compiled `tf.function`.

    Raises:
        ValueError: an operation cannot be compiled. The message names it.
    """
    try:
        return function.experimental_get_compiler_ir(*specs)(stage="stablehlo_serialized", platform_name=platform)
    except (ValueError, tf.errors.OpError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ValueError(f"TensorFlow cannot lower the step: {lines[0]}") from None
