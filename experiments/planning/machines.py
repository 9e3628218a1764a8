"""The machines that a plan can be made for: the TPU topologies, and eight H100 GPUs in one host."""

import dataclasses

from bert_tf.configs import PretrainingConfig
from bert_tf.models.flops import pretraining_step_flops
from experiments.benchmarks.gpu_cases import PEAK_TFLOPS, SIZES
from tpu_configs import topologies
from tpu_configs.batches import predictions_in
from tpu_configs.measurements import Measurement

H100 = "h100-8"


@dataclasses.dataclass(frozen=True)
class Price:
    """A list price without discounts.

    Attributes:
        dollars: the dollars an hour, of one chip.
        seen: the day on which the source read it.
        source: the offer, and who read the maker's page.
    """

    dollars: float
    seen: str
    source: str


# Makers' pages could not be opened where this was written; these are what others read there. `--price` replaces them.
PRICES = {
    "v5e": Price(1.20, "2025", "Google Cloud, on demand, us-west4, as quoted by several texts without a day"),
    "v6e": Price(2.70, "2026-10-05", "Google Cloud, on demand, us-east1, as quoted by a public table of chips"),
    "v7x": Price(12.00, "2026-10-05", "Google Cloud, on demand, us-central1, as quoted by a public table of chips"),
    "h100": Price(3.99, "2026-10-05", "Lambda, 8 x H100 SXM, on demand, as quoted by a public table of chips"),
}
"""The price of a chip, by the part of a machine's name before its size."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine on which a training may run.

    Attributes:
        name: the name of a topology, or `H100`.
        devices: the number of replicas.
        chips: the number of chips, which prices count.
        hosts: the number of hosts, each of which reads its part of every batch.
        memory_gib: the memory of a device.
        peak_tflops: the bfloat16 TFLOP/s of a device.
        price: what a chip costs; None if it is not known.
    """

    name: str
    devices: int
    chips: int
    hosts: int
    memory_gib: float
    peak_tflops: float
    price: Price | None

    @property
    def generation(self) -> str:
        """The part of the name before the size."""
        return self.name.rpartition("-")[0]


def names() -> list[str]:
    """Return the names of all machines."""
    return [*topologies.names(), H100]


def load(name: str) -> Machine:
    """Return the machine of a name.

    Args:
        name: one of `names()`.

    Raises:
        ValueError: there is none of this name.
    """
    if name == H100:
        return Machine(H100, 8, 8, 1, 80e9 / 2**30, PEAK_TFLOPS["H100"], PRICES["h100"])
    if name not in names():
        raise ValueError(f"`topology` must be one of {', '.join(names())}. Received: {name!r}")
    topology = topologies.load(name)
    price = PRICES.get(name.rpartition("-")[0])
    chips = topology.hosts * topology.chips_per_host
    return Machine(name, topology.devices, chips, topology.hosts, topology.hbm_gib, topology.peak_tflops, price)


def measurement(machine: Machine, config: PretrainingConfig, max_seq_length: int) -> Measurement | None:
    """Return what the TPU compiler said of an experiment's step on a machine, or on another of its generation.

    An experiment is recognised by the operations of its step, so that its name does not matter. Measurements with a
    largest batch, then those of the machine itself, are preferred.
    """
    if machine.name == H100:
        return None
    found = []
    for name in topologies.names():
        if name.rpartition("-")[0] == machine.generation:
            topology = topologies.load(name)
            for one in (*topology.measured_jax, *filter(None, [topology.measured])):
                if one.max_seq_length == max_seq_length and _same_step(one, config):
                    found.append((one.largest_batch is None, name != machine.name, one))
    return min(found, key=lambda one: one[:2])[2] if found else None


def rows_per_device(machine: Machine, config: PretrainingConfig, max_seq_length: int) -> int:
    """Return the number of rows that a device takes: as measured, or as many tokens as it takes of BERT-base."""
    measured = measurement(machine, config, max_seq_length)
    if measured is not None:
        return measured.batch_per_device
    if machine.name == H100:
        base = SIZES["bert_large" if config.model.num_layers > 12 else "bert_base", 512]
    else:
        base = topologies.load(machine.name).batch_per_device
    return max(1, base * 512 // max_seq_length)


def _same_step(measured: Measurement, config: PretrainingConfig) -> bool:
    predictions = predictions_in(config, measured.max_seq_length)
    flops = pretraining_step_flops(
        config.model, measured.batch_per_device, measured.max_seq_length, predictions=predictions
    )
    return abs(flops / 1e12 / measured.hand_tflop - 1) < 1e-3
