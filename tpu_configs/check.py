"""Compile an experiment's training step for a TPU without having one, and print what it needs.

```sh
make tpu-check ARGS="--config bert_base --topology v5e-8"
python -m tpu_configs.check --config bert_base --topology v5e-8 --max_seq_length 512 --find_batch
```

The second form runs in the environment that `make tpu-check` makes. It ends with exit code 2 and the compiler's reason
where the step does not compile, does not fit, or does not sum its gradients over all devices.
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
    flags.DEFINE_string("config", "bert_base", "The pre-training experiment: its name or its file.")
    flags.DEFINE_multi_string("set", [], "Change a field of the configuration: model.recompute=true. Repeatable.")
    flags.DEFINE_string("topology", None, "One of the topologies with a file, such as v5e-8.", required=True)
    flags.DEFINE_integer(
        "batch_per_device", None, "Rows a device; by default train.batch_size over them.", lower_bound=1
    )
    flags.DEFINE_integer("max_seq_length", None, "Tokens in a row; by default as many as positions.", lower_bound=8)
    flags.DEFINE_bool("find_batch", False, "Search the most rows a device first (several compilations).")
    flags.DEFINE_integer("batch_step", 8, "Of that search, in rows.", lower_bound=1)
    flags.DEFINE_enum("route", "a", ["a", "b"], "Lower with TensorFlow's CPU kernels (a) or the TPU's own (b).")
    flags.DEFINE_string(
        "lowering_python",
        ".venv-tpu-kernels/bin/python",
        "For route b: the Python of an environment with tensorflow-tpu (`make tpu-check ROUTE=b` makes it).",
    )
    flags.DEFINE_bool("save", False, "Write the figures into the topology's file.")


def main(_: Sequence[str]) -> None:
    """Read the flags, check, print the report."""
    from tpu_configs.checking import Lower, check, find_largest_batch, lower_by_cpu_kernels
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
    check_rows = cache(partial(check, topology, experiment, config, max_seq_length=length, lower=lower))
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
