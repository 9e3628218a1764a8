"""The estimate of a pre-training: steps, hours, dollars, storage and input."""

import dataclasses
import math

from bert_tf.configs import BertConfig, PretrainingConfig
from bert_tf.models.flops import pretraining_step_flops
from data_pipelines.records.packing import DEFAULT_SEQUENCES_PER_ROW
from experiments.planning import machines
from experiments.planning.interruptions import Interruptions
from experiments.planning.machines import Machine
from tpu_configs.batches import predictions_in

HOUR = 3600.0
_MONTH_HOURS = 730.0
_GIB = 2.0**30


@dataclasses.dataclass(frozen=True)
class Assumptions:
    """The numbers that a plan rests on, beside the experiment and the machine.

    Attributes:
        peak_share: the share of the devices' peak that the matrix products of a step reach. Not measured on any
            accelerator: NVIDIA states about 0.36 for BERT-large on an A100.
        row_fill: the share of rows that is no padding. Packed rows of 512 measured 0.979.
        text_bytes_per_token: bytes of text a token. 16 MB of documentation in English measured 4.33.
        record_bytes_per_token: bytes of a record a token. The same text measured 2.34.
        preparation_rate: bytes of text that a core prepares in a second. One core of a Xeon measured 6.4e6.
        input_rate: tokens that a core of a host reads and masks in a second. One hyper-thread of a Xeon measured
            39,600 packed rows of 512.
        copy_rate: bytes a second at which weights are copied before a checkpoint is written, for which the training
            waits. A CPU measured 1.5e9; that of a TPU's host was not measured.
        write_rate: bytes a second at which a checkpoint is written. A local disk measured 0.56e9.
        restart_seconds: seconds from an interruption to the next step: a machine, the program, its compilation.
        interruption_hours: mean hours between two interruptions; None for the rate of Llama 3's training (2024), 419 in
            54 days on 16,384 GPUs, in proportion to the chips. Spot machines are interrupted far more often.
        chip_price: dollars an hour of a chip; None for `machines.PRICES`.
        storage_price: dollars a month of 1e9 bytes. Google Cloud Storage in us-central1 states 0.020.
    """

    peak_share: float = 0.4
    row_fill: float = 0.979
    text_bytes_per_token: float = 4.33
    record_bytes_per_token: float = 2.34
    preparation_rate: float = 6.4e6
    input_rate: float = 39_600 * 512.0
    copy_rate: float = 1.5e9
    write_rate: float = 0.56e9
    restart_seconds: float = 600.0
    interruption_hours: float | None = None
    chip_price: float | None = None
    storage_price: float = 0.020

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"`{field.name}` must be a positive number. Received: {value}")
        for name in ("peak_share", "row_fill"):
            if getattr(self, name) > 1:
                raise ValueError(f"`{name}` must be at most 1. Received: {getattr(self, name)}")


@dataclasses.dataclass(frozen=True)
class Plan:
    """The estimate of one training on one machine.

    Attributes:
        machine: the machine.
        parameters: the number of the model's weights.
        tokens: the number of tokens that are trained on, without padding.
        max_seq_length: the number of tokens in a row.
        rows: the number of rows that a device takes in a step.
        checked: whether the TPU compiler found that this many rows fit.
        step_tflop: the TFLOP of a device's matrix products in a step, by hand.
        step_seconds: the seconds of a step.
        num_steps: the number of steps.
        checkpoint_bytes: the size of a checkpoint with the optimizer's moments.
        kept_checkpoints: the number of checkpoints that are kept.
        checkpoint_every: the number of steps between checkpoints; the experiment's, or the best if it has none.
        interruptions: how often the machine is interrupted, and what that costs.
        assumptions: what all this rests on.
    """

    machine: Machine
    parameters: int
    tokens: float
    max_seq_length: int
    rows: int
    checked: bool
    step_tflop: float
    step_seconds: float
    num_steps: int
    checkpoint_bytes: float
    kept_checkpoints: int
    checkpoint_every: int
    interruptions: Interruptions
    assumptions: Assumptions

    @property
    def undisturbed_hours(self) -> float:
        """The hours of the steps alone."""
        return self.num_steps * self.step_seconds / HOUR

    @property
    def best_checkpoint_every(self) -> int:
        """The number of steps between checkpoints that makes the training shortest."""
        return max(1, min(self.num_steps, round(self.interruptions.best_interval() / self.step_seconds)))

    def hours(self, checkpoint_every: int | None = None) -> float:
        """Return the mean hours with checkpoints, interruptions, restarts and repeated steps.

        Args:
            checkpoint_every: the steps between two checkpoints; None for the plan's.
        """
        interval = (checkpoint_every or self.checkpoint_every) * self.step_seconds
        return self.interruptions.expected(self.undisturbed_hours * HOUR, interval) / HOUR

    @property
    def expected_interruptions(self) -> float:
        """The mean number of interruptions."""
        return self.hours() * HOUR / self.interruptions.mean

    @property
    def chip_price(self) -> float | None:
        """The dollars of a chip an hour; None if they are not known."""
        listed = self.machine.price.dollars if self.machine.price is not None else None
        return self.assumptions.chip_price or listed

    @property
    def dollars(self) -> float | None:
        """The dollars for the chips; None if the price is not known."""
        return None if self.chip_price is None else self.chip_price * self.machine.chips * self.hours()

    @property
    def text_bytes(self) -> float:
        """The bytes of the text that has as many tokens."""
        return self.tokens * self.assumptions.text_bytes_per_token

    @property
    def record_bytes(self) -> float:
        """The bytes of the records."""
        return self.tokens * self.assumptions.record_bytes_per_token

    @property
    def stored_bytes(self) -> float:
        """The bytes of the records and of the checkpoints that are kept."""
        return self.record_bytes + self.kept_checkpoints * self.checkpoint_bytes

    @property
    def storage_dollars(self) -> float:
        """The dollars for what is stored, for the months of the training and at least one."""
        months = max(1.0, self.hours() / _MONTH_HOURS)
        return self.stored_bytes / 1e9 * self.assumptions.storage_price * months

    @property
    def preparation_core_hours(self) -> float:
        """The core-hours of making the records."""
        return self.text_bytes / self.assumptions.preparation_rate / HOUR

    @property
    def rows_per_host(self) -> float:
        """The rows that each host must read in a second."""
        return self.rows * self.machine.devices / self.step_seconds / self.machine.hosts

    @property
    def input_cores(self) -> float:
        """The cores of each host that reading takes."""
        return self.rows_per_host * self.max_seq_length / self.assumptions.input_rate


def plan(
    config: PretrainingConfig,
    topology: str,
    tokens: float,
    *,
    max_seq_length: int | None = None,
    batch_per_device: int | None = None,
    assumptions: Assumptions | None = None,
) -> Plan:
    """Estimate what a pre-training takes. Nothing of it is measured on the machine.

    Args:
        config: the experiment; its number of steps does not matter, `tokens` does.
        topology: the name of the machine, one of `machines.names()`.
        tokens: the number of tokens to train on, without padding; a corpus that is read twice counts twice.
        max_seq_length: the number of tokens in a row; None for the number of the model's positions.
        batch_per_device: the number of rows that a device takes; None for what was measured.
        assumptions: what the plan rests on; None for the defaults.

    Raises:
        ValueError: there is no such topology; a number is not positive; a row has more tokens than the model has
            positions; or the model or its batch does not fit into a device's memory.
    """
    assumptions = assumptions or Assumptions()
    machine = machines.load(topology)
    if not (tokens > 0 and math.isfinite(tokens)):
        raise ValueError(f"`tokens` must be a positive number. Received: {tokens}")
    positions = config.model.max_position_embeddings
    length = positions if max_seq_length is None else max_seq_length
    if not 0 < length <= positions:
        raise ValueError(f"`max_seq_length` must be from 1 to the model's {positions} positions. Received: {length}")
    rows = machines.rows_per_device(machine, config, length) if batch_per_device is None else batch_per_device
    if rows < 1:
        raise ValueError(f"`batch_per_device` must be at least 1. Received: {rows}")
    parameters = num_parameters(config.model)
    _check_memory(machine, config, parameters, rows, length)

    flops = pretraining_step_flops(
        config.model,
        rows,
        length,
        predictions=predictions_in(config, length),
        max_sequences_per_row=DEFAULT_SEQUENCES_PER_ROW,
    )
    step_seconds = flops / (machine.peak_tflops * 1e12 * assumptions.peak_share)
    num_steps = math.ceil(tokens / (rows * machine.devices * length * assumptions.row_fill))
    checkpoint_bytes = 12.0 * parameters  # float32 weights and two moments
    hours = assumptions.interruption_hours or 54 * 24 * 16_384 / 419 / machine.chips
    # What ran while the last checkpoint was being written is lost as well.
    restart = assumptions.restart_seconds + checkpoint_bytes / assumptions.write_rate
    interruptions = Interruptions(hours * HOUR, restart, checkpoint_bytes / assumptions.copy_rate)
    measured = machines.measurement(machine, config, length)
    planned = Plan(
        machine=machine,
        parameters=parameters,
        tokens=tokens,
        max_seq_length=length,
        rows=rows,
        checked=measured is not None and rows <= (measured.largest_batch or measured.batch_per_device),
        step_tflop=flops / 1e12,
        step_seconds=step_seconds,
        num_steps=num_steps,
        checkpoint_bytes=checkpoint_bytes,
        kept_checkpoints=config.train.keep_checkpoints,
        checkpoint_every=1,
        interruptions=interruptions,
        assumptions=assumptions,
    )
    every = config.train.checkpoint_every or planned.best_checkpoint_every
    return dataclasses.replace(planned, checkpoint_every=min(every, num_steps))


def num_parameters(model: BertConfig) -> int:
    """Return the number of weights of `BertPretrainer`, both heads and fixed positions included."""
    hidden, inner, embedding = model.hidden_size, model.intermediate_size, model.embedding_size or model.hidden_size
    embeddings = (model.vocab_size + model.max_position_embeddings + model.type_vocab_size + 2) * embedding
    if embedding != hidden:
        embeddings += embedding * hidden + hidden
    block = 4 * hidden**2 + 2 * hidden * inner + 9 * hidden + inner
    heads = hidden**2 + hidden + 2 * hidden + 2 + hidden * embedding + 3 * embedding + model.vocab_size
    return embeddings + model.num_layers * block + heads


def _check_memory(machine: Machine, config: PretrainingConfig, parameters: int, rows: int, length: int) -> None:
    shares = machine.devices if config.train.shard_optimizer else 1
    needed = (8.0 + 8.0 / shares) * parameters / _GIB  # float32 weights and gradients; two moments
    if needed > machine.memory_gib:
        raise ValueError(
            f"`topology` must have devices with room for the model's weights, gradients and moments, {needed:.2f} GiB. "
            f"Received: {machine.name}, with {machine.memory_gib:.2f} GiB"
        )
    measured = machines.measurement(machine, config, length)
    if measured is not None and measured.largest_batch is not None and rows > measured.largest_batch:
        raise ValueError(
            f"`batch_per_device` must be at most {measured.largest_batch} rows of {length} tokens on {machine.name}, "
            f"as its compiler says. Received: {rows}"
        )
