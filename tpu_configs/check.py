"""Compile an experiment's training step for a TPU without having one, and print the resources that it needs.

```sh
make tpu-check ARGS="--config bert_base --topology v5e-8"
bert-tf tpu-check --config bert_base --topology v5e-8 --max_seq_length 512 --find_batch
```

The second form runs in the environment `.venv-tpu` that `make tpu-check` makes. If the step does not compile, does not
fit, or does not sum its gradients over all devices, the command prints the compiler's reason and ends with exit code 2.
"""

import os
from collections.abc import Sequence
from functools import cache, partial

from absl import flags

from bert_tf.configs import PretrainingConfig
from bert_tf.configs.experiment_files import load_config
from bert_tf.utils import launching
from tpu_configs import topologies


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("config", "bert_base", "The pre-training experiment, by its name or as a file.")
    flags.DEFINE_multi_string(
        "set", [], "A field of the configuration to change, such as model.recompute=true. May be repeated."
    )
    flags.DEFINE_string(
        "topology", None, "The TPU topology, such as v5e-8; `bert-tf tpu-topologies` lists all.", required=True
    )
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
        "The kernels that lower the step. a: TensorFlow's CPU kernels; b: the TPU's own kernels.",
    )
    flags.DEFINE_string(
        "lowering_python",
        ".venv-tpu-kernels/bin/python",
        "With --route=b, the Python of an environment with tensorflow-tpu, which `make tpu-check ROUTE=b` makes.",
    )
    flags.DEFINE_bool("save", False, "Whether to write the measurements into the topology's file.")


def main(_: Sequence[str]) -> None:
    """Read the flags, check, and print the report."""
    from tpu_configs.checking import Check, Lower, check, find_largest_batch, lower_by_cpu_kernels
    from tpu_configs.preflight import rows_per_device
    from tpu_configs.tpu_kernels import lower_by_tpu_kernels

    values = flags.FLAGS
    topology = topologies.load(values.topology)
    config = load_config(values.config, PretrainingConfig, values.set)
    rows = values.batch_per_device or rows_per_device("train.batch_size", config.train.batch_size, topology.devices)
    length = values.max_seq_length or config.model.max_position_embeddings
    lower: Lower = lower_by_cpu_kernels
    if values.route == "b":
        lower = partial(
            lower_by_tpu_kernels,
            python=values.lowering_python,
            config_file=values.config,
            overrides=values.set,
        )
    experiment = os.path.splitext(os.path.basename(values.config))[0]

    @cache
    def check_rows(rows: int) -> Check:
        return check(topology, experiment, config, rows=rows, max_seq_length=length, lower=lower)

    largest = (
        find_largest_batch(check_rows, rows, topology.hbm_gib, step=values.batch_step) if values.find_batch else None
    )
    if largest is not None:
        print(f"largest      {largest} rows a device, in steps of {values.batch_step}", flush=True)
    found = check_rows(rows)
    print("\n".join(found.lines()))
    if values.save:
        print(topologies.save_measurement(topology.name, found.measurement(largest)))


if __name__ == "__main__":
    launching.run(main, define_flags)
