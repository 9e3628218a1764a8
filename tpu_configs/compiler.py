"""Google's TPU compiler on a machine without a TPU, where JAX gives it the description of a topology.

This module needs the `tpu-check` extra, which pins the version of JAX, because some imports from JAX are not public.
"""

import contextlib
import dataclasses
import importlib.metadata
import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tpu_configs.topologies import Topology

# libtpu reads these variables when it is loaded; without them, it waits minutes for a TPU VM's metadata server. Any
# type will do, because the topology is an argument.
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    # The compiler needs no chip, so it may run beside another check or a program that holds the chips.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_MIN_LOG_LEVEL": "3",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_LOG_DIR": "disabled",
}
GIB = 2.0**30
_OTHER_TRANSFERS = "all-gather|reduce-scatter|all-to-all|ragged-all-to-all|collective-permute|collective-broadcast"


class DoesNotFitError(ValueError):
    """The program needs more memory than a device has.

    Attributes:
        needed_gib: the memory that the compiler asked for; None if it did not say.
    """

    def __init__(self, message: str, needed_gib: float | None) -> None:
        super().__init__(message)
        self.needed_gib = needed_gib


@dataclasses.dataclass(frozen=True)
class Program:
    """The compiled program of a step. Sizes are bytes on each device.

    Attributes:
        device_kind: JAX's name of the kind of device.
        arguments: the size of weights, moments and the batch.
        results: the size of the results that do not overwrite an argument.
        temporaries: the size of activations and gradients.
        code: the size of the program.
        flops: the floating-point operations of a step, of every kind.
        all_reduces: the number of replicas that each all-reduce covers.
        other_transfers: the number of other operations that move data between devices.
        seconds: the time that compiling took.
        versions: the versions of JAX and of the compiler.
    """

    device_kind: str
    arguments: int
    results: int
    temporaries: int
    code: int
    flops: float
    all_reduces: tuple[int, ...]
    other_transfers: int
    seconds: float
    versions: str

    @property
    def total(self) -> int:
        """The memory of a device that the step needs."""
        return self.arguments + self.results + self.temporaries + self.code


def compile_for(topology: Topology, stablehlo: bytes, aliases: Mapping[int, int] | None = None) -> Program:
    """Compile a module for all devices of a topology, none of which is attached.

    Args:
        topology: the topology to compile for.
        stablehlo: the serialized module of one replica.
        aliases: for an argument's index, the index of the result that overwrites it, in addition to the module's own.

    Raises:
        DoesNotFitError: a device's memory is too small.
        ValueError: the compiler refuses the program, or knows no such topology.
        ModuleNotFoundError: the `tpu-check` extra is not installed.
    """
    devices = devices_of(topology)
    from jax._src.interpreters import mlir
    from jax._src.lib import _jax, xla_client
    from jax.extend.mlir import ir

    started = time.monotonic()
    options = xla_client.CompileOptions()
    options.num_replicas, options.num_partitions = len(devices), 1
    options.device_assignment = xla_client.DeviceAssignment.create(np.arange(len(devices)).reshape(-1, 1))
    with mlir.make_ir_context(), ir.Location.unknown():
        module = ir.Module.parse(stablehlo)
        _drop_copies(module, ir)
        _donate(module, ir, aliases or {})
        with refusals_explained(topology):
            executable = devices[0].client.compile(module, _jax.DeviceList(tuple(devices)), options)
    return program_of(
        devices[0].device_kind,
        executable.get_compiled_memory_stats(),
        executable.cost_analysis(),
        "\n".join(part.to_string() for part in executable.hlo_modules()),
        seconds=time.monotonic() - started,
    )


def use_environment() -> None:
    """Set the environment variables that the compiler needs, unless they are set. Call it before JAX is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def devices_of(topology: Topology) -> list[Any]:
    """Return JAX's descriptions of all devices of a topology, none of which is attached.

    Raises:
        ValueError: the compiler knows no such topology, or counts other devices.
        ModuleNotFoundError: the `tpu-check` extra is not installed.
    """
    use_environment()
    import jax
    from jax.experimental import topologies

    try:
        description = topologies.get_topology_desc(**topology.compiler.arguments())
    except (jax.errors.JaxRuntimeError, NotImplementedError, RuntimeError) as error:
        raise _no_topology(error, topology) from None
    devices: list[Any] = list(description.devices)
    if len(devices) != topology.devices:
        raise ValueError(
            f"{topology.name}: `devices` must be the {len(devices)} that the compiler sees in "
            f"{topology.compiler.topology_name}. Received: {topology.devices}"
        )
    return devices


@contextlib.contextmanager
def refusals_explained(topology: Topology) -> Iterator[None]:
    """Return a context in which the compiler's refusals become errors of one line.

    Raises:
        DoesNotFitError: a device's memory is too small.
        ValueError: the compiler refuses the program.
    """
    import jax

    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        raise _explained(error, topology) from None


def program_of(device_kind: str, memory: Any, costs: Any, hlo: str, *, seconds: float) -> Program:
    """Return the description of a compiled program.

    Args:
        device_kind: JAX's name of the kind of device.
        memory: the compiler's statistics of memory.
        costs: the compiler's analysis of costs, or a list that holds it.
        hlo: the text of the program.
        seconds: the time that compiling took.
    """
    return Program(
        device_kind=device_kind,
        arguments=memory.argument_size_in_bytes,
        results=memory.output_size_in_bytes - memory.alias_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        code=memory.generated_code_size_in_bytes,
        flops=float((costs[0] if isinstance(costs, list) else costs)["flops"]),
        all_reduces=tuple(all_reduces(hlo)),
        other_transfers=len(re.findall(rf" (?:{_OTHER_TRANSFERS})(?:-start)?\(", hlo)),
        seconds=seconds,
        versions=", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "libtpu")),
    )


def all_reduces(hlo: str) -> list[int]:
    """Return the number of replicas that each all-reduce of a compiled program covers.

    >>> all_reduces("%a = f32[] all-reduce(%x), replica_groups={{0,1},{2,3}}, to_apply=%add")
    [2]
    >>> all_reduces("%a = (f32[2], f32[]) all-reduce-start(%x, %y), replica_groups=[1,8]<=[8], to_apply=%add")
    [8]
    >>> all_reduces("%a = f32[] all-reduce(%x), replica_groups=mesh['x'=8,'y'=1,'z'=4] {'x','y'}, to_apply=%add")
    [8]

    Args:
        hlo: the text of the program, with an operation on each line.
    """
    found = []
    for line in re.findall(r"^.* all-reduce(?:-start)?\(.*$", hlo, re.MULTILINE):
        listed = re.search(r"replica_groups=\{\{([\d,]+)\}", line)
        counted = re.search(r"replica_groups=\[\d+,(\d+)\]", line)
        meshed = re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", line)
        if listed:
            found.append(len(listed[1].split(",")))
        elif counted:
            found.append(int(counted[1]))
        elif meshed:
            sizes = {name: int(size) for name, size in re.findall(r"('[^']*')=(\d+)", meshed[1])}
            found.append(math.prod(sizes[name] for name in meshed[2].split(",")))
    return found


def _drop_copies(module: Any, ir: Any) -> None:
    """Remove the copies that TensorFlow puts before results, because the compiler refuses them in StableHLO."""
    copies = []

    def visit(operation: Any) -> Any:
        if operation.name == "mhlo.copy":
            operation.results[0].replace_all_uses_with(operation.operands[0])
            copies.append(operation)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for copy in copies:
        copy.erase()


def _donate(module: Any, ir: Any, aliases: Mapping[int, int]) -> None:
    """Mark the arguments that results may overwrite."""
    if not aliases:
        return
    main = ir.SymbolTable(module.operation)["main"]
    kind = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value)
    attributes: list[dict[str, Any]] = [{} for _ in kind.inputs]
    if "arg_attrs" in main.attributes:
        attributes = [{one.name: one.attr for one in ir.DictAttr(each)} for each in main.attributes["arg_attrs"]]
    number = ir.IntegerType.get_signless(32)
    for argument, result in aliases.items():
        if kind.inputs[argument] != kind.results[result]:
            raise ValueError(
                f"result {result} cannot overwrite argument {argument}: they are {kind.results[result]} and "
                f"{kind.inputs[argument]}"
            )
        attributes[argument]["tf.aliasing_output"] = ir.IntegerAttr.get(number, result)
    main.attributes["arg_attrs"] = ir.ArrayAttr.get([ir.DictAttr.get(each) for each in attributes])


def _no_topology(error: Exception, topology: Topology) -> ValueError:
    """Return the error to raise when the compiler does not know the topology, or does not start."""
    reason = _first_line(error)
    if "lockfile" in reason:
        return ValueError(
            "the TPU compiler does not start while another program holds libtpu, unless the environment has "
            f"ALLOW_MULTIPLE_LIBTPU_LOAD=1. Received: {os.environ['ALLOW_MULTIPLE_LIBTPU_LOAD']!r} ({reason})"
        )
    return ValueError(
        f"the compiler knows no topology {topology.compiler.topology_name!r} ({reason}). Received: {topology.name!r}"
    )


def _explained(error: Exception, topology: Topology) -> ValueError:
    """Return the compiler's refusal in one line."""
    message = str(error)
    if "RESOURCE_EXHAUSTED" not in message:
        return ValueError(f"the TPU compiler refuses the step for {topology.name}: {_first_line(error)}")
    needed = re.search(r"Used ([\d.]+)([KMG]) of ([\d.]+[KMG]) hbm", message) or re.search(
        r"HLO temporaries \(([\d.]+)([KMG])\) exceeds available HBM \(([\d.]+[KMG])\)", message
    )
    if needed is None:
        return DoesNotFitError(f"the step does not fit on {topology.name}: {_first_line(error)}", None)
    gib = float(needed[1]) / {"G": 1.0, "M": 2.0**10, "K": 2.0**20}[needed[2]]
    return DoesNotFitError(
        f"the step does not fit on {topology.name}: it needs {needed[1]}{needed[2]}iB of a device's {needed[3]}iB "
        f"(RESOURCE_EXHAUSTED). Fewer rows, gradient accumulation or `model.recompute` need less memory",
        gib,
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
