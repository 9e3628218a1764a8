"""Estimate the time, money and storage of a pre-training on a machine, without it.

```bash
bert-tf plan --config bert_base --topology v6e-64 --tokens 100e9
bert-tf plan --config bert_base --config bert_large --topology v5e-16,v6e-64,v7x-64,h100-8 --corpus_bytes 1e12
```

Several experiments or machines give a table. Flags change what a plan assumes; none of it was measured on the chips.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from absl import flags

from bert_tf.configs import PretrainingConfig
from bert_tf.configs.experiment_files import load_config
from bert_tf.utils import launching
from experiments.planning import machines, report
from experiments.planning.estimates import Assumptions, Plan, plan

_HELP = {
    "peak_share": "The share of the devices' peak that the step's matrix products reach.",
    "row_fill": "The share of rows that is no padding.",
    "text_bytes_per_token": "Bytes of text a token.",
    "record_bytes_per_token": "Bytes of records a token.",
    "preparation_rate": "Bytes of text that a core prepares in a second.",
    "input_rate": "Tokens that a core of a host reads and masks in a second.",
    "copy_rate": "Bytes a second at which weights are copied for a checkpoint, while the training waits.",
    "write_rate": "Bytes a second at which a checkpoint is written.",
    "restart_seconds": "Seconds from an interruption to the next step.",
    "interruption_hours": "Mean hours between two interruptions; by default the rate of Llama 3's GPUs for the chips.",
    "chip_price": "Dollars an hour of a chip; by default the list price that the report names.",
    "storage_price": "Dollars a month of 1e9 bytes.",
}


def define_flags() -> None:
    """Define the flags of this command."""
    flags.DEFINE_multi_string(
        "config", ["bert_base"], "The pre-training experiment, by its name or as a file. May be repeated."
    )
    flags.DEFINE_multi_string("set", [], "Change a field of the experiments, such as model.num_layers=6.")
    flags.DEFINE_list(
        "topology", None, f"The machine: a TPU topology such as v6e-64, or {machines.H100}; or several.", required=True
    )
    flags.DEFINE_float("tokens", None, "The number of tokens to train on; a corpus that is read twice counts twice.")
    flags.DEFINE_float("corpus_bytes", None, "The bytes of text to train on once, in place of --tokens.")
    flags.DEFINE_integer("max_seq_length", None, "The number of tokens in a row; by default the model's positions.")
    flags.DEFINE_integer("batch_per_device", None, "The rows a device takes; by default those of the TPU check.")
    flags.DEFINE_integer("trials", 0, "The number of trainings to simulate with random interruptions.", lower_bound=0)
    flags.DEFINE_integer("seed", 0, "The seed of the simulation.")
    for field in dataclasses.fields(Assumptions):
        flags.DEFINE_float(field.name, field.default, _HELP[field.name])  # type: ignore[arg-type]


def main(_: Sequence[str]) -> None:
    """Read the flags, and print the report or the table."""
    values = flags.FLAGS
    if (values.tokens is None) == (values.corpus_bytes is None):
        raise ValueError(
            f"one of `tokens` and `corpus_bytes` must be given. Received: {values.tokens} and {values.corpus_bytes}"
        )
    given: dict[str, Any] = {field.name: values[field.name].value for field in dataclasses.fields(Assumptions)}
    assumptions = Assumptions(**given)
    if values.corpus_bytes is not None and not values.corpus_bytes > 0:
        raise ValueError(f"`corpus_bytes` must be a positive number. Received: {values.corpus_bytes}")
    tokens = values.tokens if values.tokens is not None else values.corpus_bytes / assumptions.text_bytes_per_token
    plans = [
        (name, _plan(name, topology, tokens, assumptions)) for name in values.config for topology in values.topology
    ]
    if len(plans) > 1:
        print(report.table(plans))
        return
    print("\n".join(report.lines(plans[0][1])))
    if values.trials:
        print(report.simulation_line(plans[0][1], trials=values.trials, seed=values.seed))


def _plan(name: str, topology: str, tokens: float, assumptions: Assumptions) -> Plan:
    values = flags.FLAGS
    config = load_config(name, PretrainingConfig, values.set)
    return plan(
        config,
        topology,
        tokens,
        max_seq_length=values.max_seq_length,
        batch_per_device=values.batch_per_device,
        assumptions=assumptions,
    )


if __name__ == "__main__":
    launching.run(main, define_flags)
