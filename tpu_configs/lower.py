"""Lower an experiment's step with the TPU's own kernels (route B). `bert-tf tpu-check --route b` runs this program.

```sh
.venv-tpu-kernels/bin/python -m tpu_configs.lower --config bert_base --replicas 8 --rows 32 \
    --max_seq_length 512 --output_dir lowered
```
"""

from collections.abc import Sequence

from absl import flags

from bert_tf.configs import PretrainingConfig
from bert_tf.configs.experiment_files import load_config
from bert_tf.utils import launching
from tpu_configs import lowering, tpu_kernels


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_string("config", None, "The pre-training experiment, by its name or as a file.", required=True)
    flags.DEFINE_multi_string(
        "set", [], "A field of the configuration to change, such as model.recompute=true. May be repeated."
    )
    flags.DEFINE_integer("replicas", None, "The number of devices of the topology.", required=True, lower_bound=1)
    flags.DEFINE_integer("rows", None, "The number of rows that a device takes.", required=True, lower_bound=1)
    flags.DEFINE_integer("max_seq_length", None, "The number of tokens in a row.", required=True, lower_bound=8)
    flags.DEFINE_string("output_dir", None, "The folder for the module and its description.", required=True)


def main(_: Sequence[str]) -> None:
    """Read the flags, lower the step and write it."""
    values = flags.FLAGS
    config = load_config(values.config, PretrainingConfig, values.set)
    step, _state = lowering.pretraining_step(config, values.replicas)
    specs = lowering.pretraining_specs(config, values.rows, values.max_seq_length)
    tpu_kernels.write(values.output_dir, tpu_kernels.lower_in_this_process(step, specs))


if __name__ == "__main__":
    launching.run(main, define_flags)
