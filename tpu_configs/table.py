"""The tables of the topologies, with the contents of their files and the measurements of the check."""

from collections.abc import Iterable, Iterator, Sequence

from tpu_configs import topologies
from tpu_configs.measurements import JaxMeasurement, Measurement
from tpu_configs.topologies import Topology

_TENSORFLOW_COLUMNS = (
    "topology",
    "accelerator type",
    "devices (hosts)",
    "peak, TFLOP/s a device",
    "rows a device -> global",
    "arguments + temporaries + code, GiB",
    "all of it, of usable HBM, GiB",
    "TFLOP a step, compiler (by hand)",
    "all-reduces",
)
_JAX_COLUMNS = (
    "topology",
    "devices (hosts)",
    "experiment, attention",
    "rows a device -> global",
    "arguments + temporaries + code, GiB",
    "all of it, of usable HBM, GiB",
    "TFLOP a step, compiler (by hand)",
    "all-reduces",
    "largest batch of a device",
)
_GAIN_COLUMNS = (
    "topology",
    "experiment, rows a device",
    "attention",
    "moments",
    "arguments",
    "temporaries",
    "all, GiB",
)


def markdown_tables() -> Iterator[str]:
    """Yield the tables in Markdown: TensorFlow's step, JAX's step, and the gain of JAX's options."""
    yield tensorflow_table()
    yield jax_table()
    yield gains_table()


def tensorflow_table() -> str:
    """Return a row for each topology that TensorFlow runs on, with dashes where nothing was measured."""
    return _table(_TENSORFLOW_COLUMNS, (_tensorflow_row(one) for one in _topologies() if "tensorflow" in one.engines))


def jax_table() -> str:
    """Return a row for each measurement of JAX's step with the whole moments on every device."""
    rows = (
        _jax_row(topology, measured)
        for topology in _topologies()
        for measured in topology.measured_jax
        if not measured.shard_optimizer
    )
    return _table(_JAX_COLUMNS, rows)


def gains_table() -> str:
    """Return the memory of JAX's step with and without its options, where the sharded optimizer was measured."""
    rows = []
    for topology in _topologies():
        compared = {_size(measured) for measured in topology.measured_jax if measured.shard_optimizer}
        rows += [_gain_row(topology, measured) for measured in topology.measured_jax if _size(measured) in compared]
    return _table(_GAIN_COLUMNS, rows)


def _topologies() -> list[Topology]:
    return [topologies.load(name) for name in topologies.names()]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _tensorflow_row(topology: Topology) -> tuple[str, ...]:
    return (
        topology.name,
        topology.accelerator_type,
        _devices(topology),
        f"{topology.peak_tflops:g}",
        _rows(topology, topology.batch_per_device),
        *_measured(topology, topology.measured),
    )


def _jax_row(topology: Topology, measured: JaxMeasurement) -> tuple[str, ...]:
    return (
        topology.name,
        _devices(topology),
        f"{measured.experiment}, {measured.attention}",
        _rows(topology, measured.batch_per_device),
        *_measured(topology, measured),
        "-" if measured.largest_batch is None else str(measured.largest_batch),
    )


def _gain_row(topology: Topology, measured: JaxMeasurement) -> tuple[str, ...]:
    return (
        topology.name,
        f"{measured.experiment}, {measured.batch_per_device}",
        measured.attention,
        "sharded" if measured.shard_optimizer else "whole",
        f"{measured.arguments_gib:.2f}",
        f"{measured.temporaries_gib:.2f}",
        f"{measured.total_gib:.2f} of {topology.hbm_gib:.2f}",
    )


def _size(measured: JaxMeasurement) -> tuple[str, int, int]:
    return measured.experiment, measured.max_seq_length, measured.batch_per_device


def _devices(topology: Topology) -> str:
    return f"{topology.devices} ({topology.hosts})"


def _rows(topology: Topology, rows: int) -> str:
    return f"{rows} -> {rows * topology.devices}"


def _measured(topology: Topology, measured: Measurement | None) -> tuple[str, ...]:
    if measured is None:
        return "-", f"- of {topology.hbm_gib:.2f}", "-", "-"
    return (
        f"{measured.arguments_gib:.2f} + {measured.temporaries_gib:.2f} + {measured.code_gib:.2f}",
        f"{measured.total_gib:.2f} of {topology.hbm_gib:.2f}",
        f"{measured.compiler_tflop:.2f} ({measured.hand_tflop:.2f})",
        str(measured.all_reduces),
    )
