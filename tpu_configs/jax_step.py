"""The training step of the JAX engine, compiled for a topology: JAX partitions it over the devices and compiles it."""

import time

import jax

from bert_tf.configs import PretrainingConfig
from bert_tf.configs.training import DTYPE_POLICIES
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.objectives.objective import pretraining_objective
from bert_tf.training.jax_engine.devices import Devices
from bert_tf.training.jax_engine.inner_loop import jitted
from bert_tf.training.jax_engine.state import JaxState
from bert_tf.training.jax_engine.step import TrainStep
from tpu_configs import compiler
from tpu_configs.batches import pretraining_features
from tpu_configs.checking import CompiledStep
from tpu_configs.topologies import Topology


def compile_step(topology: Topology, config: PretrainingConfig, *, rows: int, max_seq_length: int) -> CompiledStep:
    """Compile the step that training runs (`TrainStep`) for all devices of a topology, none of which is attached.

    Args:
        topology: the topology to compile for.
        config: the experiment.
        rows: the number of rows that a device takes.
        max_seq_length: the number of tokens in a row.

    Raises:
        DoesNotFitError: a device's memory is too small.
        ValueError: the compiler refuses the step, or knows no such topology.
    """
    devices = Devices(compiler.devices_of(topology))
    model = BertPretrainer(config.model, dtype=DTYPE_POLICIES[config.train.precision])
    state = JaxState(model, devices, config.train)
    step = TrainStep(state, pretraining_objective(), train=config.train, optimizer=config.optimizer, devices=devices)
    fixed = jax.tree.map(
        lambda value: jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=devices.replicated), step.fixed_values()
    )
    features = pretraining_features(config, rows * topology.devices, max_seq_length)
    batch = {
        name: jax.ShapeDtypeStruct(feature.shape, feature.dtype, sharding=devices.rows)
        for name, feature in features.items()
    }
    started = time.monotonic()
    traced = jitted(step, state, devices).trace(state.abstract_arrays(), fixed, batch)
    with compiler.refusals_explained(topology):
        compiled = traced.lower(lowering_platforms=("tpu",)).compile()
    program = compiler.program_of(
        devices.devices[0].device_kind,
        compiled.memory_analysis(),
        compiled.cost_analysis(),
        compiled.as_text(),
        seconds=time.monotonic() - started,
    )
    return CompiledStep("jax", program, program.versions)
