"""The TPU topologies that the project has a file for, one YAML each, strictly loaded.

Importable without TensorFlow and JAX: launch scripts ask it for names, in whatever Python they find.
"""

import dataclasses
import importlib.resources
from typing import Any, Self

import yaml

from bert_tf.configs.base import Config, ConfigError, check_range
from bert_tf.utils import files


@dataclasses.dataclass(frozen=True)
class CompilerTarget(Config):
    """The description of a topology for Google's compiler.

    Attributes:
        topology_name: generation and chips, such as `v5e:2x4` (v7x would be `tpu7x:...`).
        chips_per_host_bounds: chips of a host along x, y and z, where the compiler's own guess is another.
        chip_config_name: `megacore` where the two cores of a chip are one device (v4).
    """

    topology_name: str
    chips_per_host_bounds: tuple[int, ...] | None = None
    chip_config_name: str | None = None

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `jax.experimental.topologies.get_topology_desc`."""
        arguments: dict[str, Any] = {"platform": "tpu", "topology_name": self.topology_name}
        if self.chips_per_host_bounds is not None:
            arguments["chips_per_host_bounds"] = list(self.chips_per_host_bounds)
        if self.chip_config_name is not None:
            arguments["chip_config_name"] = self.chip_config_name
        return arguments


@dataclasses.dataclass(frozen=True)
class Measurement(Config):
    """A measurement of `tpu_configs.check` for one experiment on one topology; memory in GiB a device, of one step.

    Attributes:
        experiment: the experiment file's name, without its ending.
        max_seq_length: tokens in a row.
        batch_per_device: rows.
        arguments_gib: weights, optimizer's moments and the batch.
        temporaries_gib: activations and gradients.
        code_gib: the program.
        total_gib: all of it, results that do not take an argument's place included.
        compiler_tflop: a device's floating-point operations a step as the compiler counts them.
        hand_tflop: the same for matrix products alone, counted by hand.
        all_reduces: how many there are after the compiler has joined them.
        largest_batch: the most rows a device, in steps of 8, that the compiler has room for; None: not searched.
        versions: of what lowered and compiled.
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
class Topology(Config):
    """One slice of Cloud TPU.

    Attributes:
        name: short name, such as `v5e-8`, and that of the file.
        accelerator_type: what Google Cloud calls it, such as `v5litepod-8`.
        chip_topology: chips along x, y (and z), as GKE's node selector wants it.
        gke_accelerator: GKE's name of the kind of node; None where GKE has none.
        chips_per_host: what a pod of GKE asks for.
        devices: TensorFlow replicas in all; a chip of v2 and v3 is two.
        hosts: TPU VMs.
        hbm_gib: memory of a device that a program may use, as the compiler states it.
        peak_tflops: bfloat16 TFLOP/s of a device.
        batch_per_device: rows of 512 tokens of BERT-base that fit well.
        runtime_version: of the TPU VM's image.
        libtpu: the version that the pinned TensorFlow runs with there.
        compiler: the names that the TPU compiler has for it.
        measured: by the check; None before it ran.
    """

    name: str
    accelerator_type: str
    chip_topology: str
    gke_accelerator: str | None
    chips_per_host: int
    devices: int
    hosts: int
    hbm_gib: float
    peak_tflops: float
    batch_per_device: int
    runtime_version: str
    libtpu: str
    compiler: CompilerTarget
    measured: Measurement | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("chips_per_host", "devices", "hosts", "batch_per_device"):
            check_range(name, getattr(self, name), 1)
        for name in ("hbm_gib", "peak_tflops"):
            check_range(name, getattr(self, name), 1e-3)
        if self.devices % self.hosts:
            raise ConfigError(f"`devices` must be a multiple of `hosts`. Received: {self.devices} and {self.hosts}")

    @classmethod
    def from_yaml(cls, text: str, path: str) -> Self:
        """Return the topology that a YAML file holds.

        Args:
            text: its content.
            path: for messages.

        Raises:
            ConfigError: it is no YAML, or a field is missing, unknown, given twice, of another type or out of range.
        """
        try:
            values = yaml.load(text, Loader=_StrictLoader)
        except yaml.YAMLError as error:
            raise ConfigError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{path} must hold fields and values. Received: {values!r}")
        optional = {field.name for field in dataclasses.fields(cls) if field.default is not dataclasses.MISSING}
        missing = [field.name for field in dataclasses.fields(cls) if field.name not in optional | set(values)]
        if missing:
            raise ConfigError(f"{path} must have the field `{missing[0]}`. Received: {', '.join(map(str, values))}")
        try:
            return cls.from_dict(values)
        except (ConfigError, TypeError) as error:  # TypeError: a field of a part is missing
            raise ConfigError(f"{path}: {error}") from None


class _StrictLoader(yaml.SafeLoader):
    """A YAML loader that refuses a key that occurs twice, where the second would silently hide the first."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node.

        Raises:
            yaml.YAMLError: a key occurs in it twice.
        """
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for position, key in enumerate(keys) if key in keys[:position]]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"`{twice[0]}` stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def names() -> list[str]:
    """Return the names of all topologies, by generation and size."""
    found = [file.name.removesuffix(".yaml") for file in _folder().iterdir() if file.name.endswith(".yaml")]

    def generation_and_size(name: str) -> tuple[str, int]:
        generation, _, size = name.rpartition("-")
        return generation, int(size)

    return sorted(found, key=generation_and_size)


def load(name: str) -> Topology:
    """Return the topology of this name.

    Args:
        name: one of `names()`.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in names():
        raise ValueError(f"`topology` must be one of {', '.join(names())}. Received: {name!r}")
    file = yaml_file(name)
    topology = Topology.from_yaml(file.read_text(encoding="utf-8"), file.name)
    if topology.name != name:
        raise ConfigError(f"{file.name}: `name` must be the file's. Received: {topology.name!r}")
    return topology


def yaml_file(name: str) -> Any:
    """Return the file of a topology (`importlib.resources`), which need not exist."""
    return _folder() / f"{name}.yaml"


def save_measurement(name: str, measurement: Measurement) -> str:
    """Write what the check measured into the topology's file, in place of the former measurement.

    Returns:
        The file's path.
    """
    path = str(yaml_file(name))
    head = files.read_text(path).partition("\nmeasured:")[0].rstrip("\n")
    tail = yaml.safe_dump({"measured": measurement.to_dict()}, sort_keys=False)
    files.write_text(path, f"{head}\n{tail}")
    return path


def _folder() -> Any:
    return importlib.resources.files(__package__)
