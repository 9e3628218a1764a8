"""The TPU topologies of this project, each a YAML file that is read strictly.

This module imports neither TensorFlow nor JAX, because launch scripts use it in any Python that they find.
"""

import dataclasses
import importlib.resources
import re
from typing import Any, Self

import yaml

from bert_tf.configs.base import Config, ConfigError, check_range
from bert_tf.utils import files
from bert_tf.utils.keras_backend import ENGINES
from tpu_configs.measurements import JaxMeasurement, Measurement


@dataclasses.dataclass(frozen=True)
class CompilerTarget(Config):
    """The description of a topology for Google's compiler.

    Attributes:
        topology_name: the generation and the chips, such as `v5e:2x4`; v7x is `tpu7x`.
        chips_per_host_bounds: the number of a host's chips along x, y and z; None if the compiler knows it.
        chip_config_name: `megacore` if the two cores of a chip are one device (v4).
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
class Topology(Config):
    """One slice of Cloud TPU.

    Attributes:
        name: the short name, such as `v5e-8`, which is also the name of the file.
        accelerator_type: Google Cloud's name, such as `v5litepod-8`.
        chip_topology: the number of chips along x, y (and z), as GKE's node selector takes it.
        gke_accelerator: GKE's name of the kind of node; None if GKE has none.
        chips_per_host: the number of chips that a GKE pod requests.
        devices: the number of replicas; a chip of v2, v3 or v7x has two.
        hosts: the number of TPU VMs.
        hbm_gib: the memory of a device that a program may use, as the compiler states it.
        peak_tflops: the bfloat16 TFLOP/s of a device.
        batch_per_device: the number of rows of 512 tokens of BERT-base that fit well.
        runtime_version: the version of the TPU VM's image for TensorFlow; None if TensorFlow does not run there.
        jax_runtime_version: the version of the image for JAX, or the image's family for a `machine_type`; None if JAX
            does not run there.
        libtpu: the version of libtpu that the pinned TensorFlow runs with there; None if it does not run there.
        compiler: the TPU compiler's description of the topology.
        machine_type: Compute Engine's type of the hosts; None if the slice is a queued resource.
        measured: the measurement of the check of TensorFlow's step; None before it ran.
        measured_jax: the measurements of the check of JAX's step.
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
    runtime_version: str | None
    jax_runtime_version: str | None
    libtpu: str | None
    compiler: CompilerTarget
    machine_type: str | None = None
    measured: Measurement | None = None
    measured_jax: tuple[JaxMeasurement, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("chips_per_host", "devices", "hosts", "batch_per_device"):
            check_range(name, getattr(self, name), 1)
        for name in ("hbm_gib", "peak_tflops"):
            check_range(name, getattr(self, name), 1e-3)
        if self.devices % self.hosts:
            raise ConfigError(f"`devices` must be a multiple of `hosts`. Received: {self.devices} and {self.hosts}")
        if not self.engines:
            raise ConfigError(
                "one of `runtime_version` and `jax_runtime_version` must be given. Received: None for both"
            )

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines that run on the topology."""
        versions = {"tensorflow": self.runtime_version, "jax": self.jax_runtime_version}
        return tuple(engine for engine in ENGINES if versions[engine] is not None)

    def check_engine(self, engine: str) -> None:
        """Check that an engine runs on the topology.

        Raises:
            ValueError: it does not. The message names the engine that does.
        """
        if engine not in self.engines:
            raise ValueError(f"`engine` must be {self.engines[0]} on the topology {self.name}. Received: {engine!r}")

    @classmethod
    def from_yaml(cls, text: str, path: str) -> Self:
        """Return the topology that a YAML file holds.

        Args:
            text: the contents of the file.
            path: the path of the file, for messages.

        Raises:
            ConfigError: the text is not YAML, or a field is missing, unknown, given twice, of another type or out of
                range.
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
        except (ConfigError, TypeError) as error:  # TypeError: a field of `compiler` or `measured` is missing
            raise ConfigError(f"{path}: {error}") from None


class _StrictLoader(yaml.SafeLoader):
    """A YAML loader that refuses repeated keys, of which all but the last would be lost silently."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node.

        Raises:
            yaml.YAMLError: a key occurs twice.
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
        raise ConfigError(f"{file.name}: `name` must be the name of the file. Received: {topology.name!r}")
    return topology


def yaml_file(name: str) -> Any:
    """Return the file of a topology as a resource (`importlib.resources`), which need not exist."""
    return _folder() / f"{name}.yaml"


def save_measurement(name: str, measurement: Measurement) -> str:
    """Write a measurement into the topology's file, in place of the former one of the same subject.

    Returns:
        The path of the file.
    """
    path = str(yaml_file(name))
    topology = load(name)
    measured, measured_jax = topology.measured, topology.measured_jax
    if isinstance(measurement, JaxMeasurement):
        others = [one for one in measured_jax if one.subject != measurement.subject]
        measured_jax = tuple(sorted([*others, measurement], key=lambda one: one.subject))
    else:
        measured = measurement
    tail: dict[str, Any] = {}
    if measured is not None:
        tail["measured"] = measured.to_dict()
    if measured_jax:
        tail["measured_jax"] = [one.to_dict() for one in measured_jax]
    head = re.split(r"\nmeasured(?:_jax)?:", files.read_text(path))[0].rstrip("\n")
    files.write_text(path, f"{head}\n{yaml.safe_dump(tail, sort_keys=False)}")
    return path


def _folder() -> Any:
    return importlib.resources.files(__package__)
