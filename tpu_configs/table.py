"""The table of the topologies, with the contents of their files and the measurements of the check."""

from tpu_configs import topologies
from tpu_configs.topologies import Topology

_COLUMNS = (
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


def markdown_table() -> str:
    """Return the table in Markdown, with a row for each topology and dashes where nothing was measured."""
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *(_row(topologies.load(name)) for name in topologies.names())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(topology: Topology) -> tuple[str, ...]:
    measured = topology.measured
    memory, total, flops, reduces = "-", f"- of {topology.hbm_gib:.2f}", "-", "-"
    if measured is not None:
        memory = f"{measured.arguments_gib:.2f} + {measured.temporaries_gib:.2f} + {measured.code_gib:.2f}"
        total = f"{measured.total_gib:.2f} of {topology.hbm_gib:.2f}"
        flops = f"{measured.compiler_tflop:.2f} ({measured.hand_tflop:.2f})"
        reduces = str(measured.all_reduces)
    rows = topology.batch_per_device
    return (
        topology.name,
        topology.accelerator_type,
        f"{topology.devices} ({topology.hosts})",
        f"{topology.peak_tflops:g}",
        f"{rows} -> {rows * topology.devices}",
        memory,
        total,
        flops,
        reduces,
    )
