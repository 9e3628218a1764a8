"""The measurements of the check, as the topologies' files hold them."""

import dataclasses

from bert_tf.configs.base import Config


@dataclasses.dataclass(frozen=True)
class Measurement(Config):
    """A measurement of `bert-tf tpu-check` for one experiment on one topology. Memory is in GiB on each device.

    Attributes:
        experiment: the name of the experiment's file, without its suffix.
        max_seq_length: the number of tokens in a row.
        batch_per_device: the number of rows that a device takes.
        arguments_gib: the memory of weights, the optimizer's moments and the batch.
        temporaries_gib: the memory of activations and gradients.
        code_gib: the memory of the program.
        total_gib: the memory of all of these, and of results that do not overwrite an argument.
        compiler_tflop: the floating-point operations of a device in a step, in 10^12, as the compiler counts them.
        hand_tflop: the floating-point operations of the matrix products alone, counted by hand.
        all_reduces: the number of all-reduces after the compiler has joined them.
        largest_batch: the largest number of rows for which a device has room, in steps of 8; None if it was not
            searched.
        versions: the versions of the packages that lowered and compiled the step.
    """

    experiment: str
    max_seq_length: int
    batch_per_device: int
    arguments_gib: float
    temporaries_gib: float
    code_gib: float
    total_gib: float
    compiler_tflop: float
    hand_tflop: float
    all_reduces: int
    largest_batch: int | None
    versions: str


@dataclasses.dataclass(frozen=True)
class JaxMeasurement(Measurement):
    """A measurement of the step of `--engine jax`.

    Attributes:
        attention: the experiment's `model.attention`.
        shard_optimizer: the experiment's `train.shard_optimizer`.
    """

    attention: str
    shard_optimizer: bool

    @property
    def subject(self) -> tuple[str, int, str, bool]:
        """The settings of a measurement; a topology's file has one measurement of each."""
        return self.experiment, self.max_seq_length, self.attention, self.shard_optimizer
