"""Compile an experiment's training step for a TPU without having one, and print the resources that it needs.

```sh
make tpu-check ARGS="--config bert_base --topology v5e-8"
make tpu-check ARGS="--config bert_base --topology v7x-8 --engine jax"
bert-tf tpu-check --config bert_base --topology v5e-8 --max_seq_length 512 --find_batch
```

The third form runs in the environment `.venv-tpu` that `make tpu-check` makes. If the step does not compile, does not
fit, or does not sum its gradients over all devices, the command prints the compiler's reason and ends with exit code 2.
"""

import os
from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from absl import flags

from bert_tf.configs import PretrainingConfig
from bert_tf.configs.experiment_files import load_config
from bert_tf.utils import keras_backend, launching
from tpu_configs import topologies
from tpu_configs.compiler import use_environment

if TYPE_CHECKING:
    from tpu_configs.checking import CompileStep


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("config", "bert_base", "The pre-training experiment, by its name or as a file.")
    flags.DEFINE_multi_string(
        "set", [], "A field of the configuration to change, such as model.recompute=true. May be repeated."
    )
    flags.DEFINE_string(
        "topology", None, "The TPU topology, such as v5e-8; `bert-tf tpu-topologies` lists all.", required=True
    )
    flags.DEFINE_enum("engine", "tensorflow", keras_backend.ENGINES, "The engine whose step is compiled.")
    flags.DEFINE_integer(
        "batch_per_device",
        None,
        "The number of rows that a device takes; by default train.batch_size divided by the devices.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "max_seq_length",
        None,
        "The number of tokens in a row; by default the number of the model's positions.",
        lower_bound=8,
    )
    flags.DEFINE_bool(
        "find_batch",
        False,
        "Whether to search for the largest number of rows that a device can take, by compiling often.",
    )
    flags.DEFINE_integer("batch_step", 8, "The step of the search of --find_batch, in rows.", lower_bound=1)
    flags.DEFINE_enum(
        "route",
        "a",
        ["a", "b"],
        "The kernels that lower TensorFlow's step. a: TensorFlow's CPU kernels; b: the TPU's own kernels.",
    )
    flags.DEFINE_string(
        "lowering_python",
        ".venv-tpu-kernels/bin/python",
        "With --route=b, the Python of an environment with tensorflow-tpu, which `make tpu-check ROUTE=b` makes.",
    )
    flags.DEFINE_bool("save", False, "Whether to write the measurements into the topology's file.")


def main(_: Sequence[str]) -> None:
    """Read the flags, check, and print the report."""
    values = flags.FLAGS
    topology = topologies.load(values.topology)
    topology.check_engine(values.engine)
    if values.engine == "jax" and values.route != "a":
        raise ValueError(f"`route` is a choice of TensorFlow's step, not of --engine=jax. Received: {values.route!r}")
    config = load_config(values.config, PretrainingConfig, values.set)
    keras_backend.choose_backend(values.engine)
    use_environment()
    from tpu_configs.checking import Check, check, find_largest_batch
    from tpu_configs.preflight import rows_per_device

    rows = values.batch_per_device or rows_per_device("train.batch_size", config.train.batch_size, topology.devices)
    length = values.max_seq_length or config.model.max_position_embeddings
    compile_step = _compile_step()
    experiment = os.path.splitext(os.path.basename(values.config))[0]

    @cache
    def check_rows(rows: int) -> Check:
        return check(topology, experiment, config, rows=rows, max_seq_length=length, compile_step=compile_step)

    largest = (
        find_largest_batch(check_rows, rows, topology.hbm_gib, step=values.batch_step) if values.find_batch else None
    )
    if largest is not None:
        print(f"largest      {largest} rows a device, in steps of {values.batch_step}", flush=True)
    found = check_rows(rows)
    print("\n".join(found.lines()))
    if values.save:
        print(topologies.save_measurement(topology.name, found.measurement(largest)))


def _compile_step() -> "CompileStep":
    """Return the function that compiles the step of the engine that the flags ask for."""
    values = flags.FLAGS
    if values.engine == "jax":
        from tpu_configs import jax_step

        return jax_step.compile_step
    from tpu_configs import tensorflow_step
    from tpu_configs.tpu_kernels import lower_by_tpu_kernels

    if values.route == "a":
        return tensorflow_step.compile_step
    lower = partial(
        lower_by_tpu_kernels, python=values.lowering_python, config_file=values.config, overrides=values.set
    )
    return partial(tensorflow_step.compile_step, lower=lower)


if __name__ == "__main__":
    launching.run(main, define_flags)
