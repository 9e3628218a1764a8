"""Topologies: one strict file each."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from bert_tf.configs.base import ConfigError
from tpu_configs import table, topologies
from tpu_configs.measurements import JaxMeasurement, Measurement
from tpu_configs.topologies import CompilerTarget, Topology

V5E = topologies.yaml_file("v5e-8").read_text(encoding="utf-8")
V7X = topologies.yaml_file("v7x-8").read_text(encoding="utf-8").partition("\nmeasured")[0] + "\n"
MEASURED = Measurement("bert_base", 512, 32, 1.0, 2.0, 0.1, 3.1, 9.9, 9.6, 2, None, "tensorflow 2.21.0")


def test_there_is_one_for_each_generation():
    names = topologies.names()
    both = ["v2-8", "v3-8", "v3-32", "v4-8", "v5e-4", "v5e-8", "v5e-16", "v5p-8", "v6e-4", "v6e-8"]
    jax = [f"v6e-{devices}" for devices in (16, 32, 64, 128, 256)]
    jax += [f"v7x-{devices}" for devices in (8, 16, 32, 64, 128, 256)]
    assert names == both + jax
    engines = {name: topologies.load(name).engines for name in names}
    assert engines == dict.fromkeys(both, ("tensorflow", "jax")) | dict.fromkeys(jax, ("jax",))


@pytest.mark.parametrize("name", topologies.names())
def test_the_numbers_of_a_topology_agree_with_each_other(name):
    topology = topologies.load(name)
    chips = 1
    for size in topology.chip_topology.split("x"):
        chips *= int(size)
    assert topology.hosts * topology.chips_per_host == chips
    cores = 2 if name.startswith(("v2", "v3", "v7x")) else 1
    assert topology.devices == chips * cores
    generation = name.split("-")[0].replace("v7x", "tpu7x")
    assert topology.compiler.topology_name == f"{generation}:{topology.chip_topology}"
    # Names count cores up to v5p, where two of them are one device since v4, and chips since v5e.
    size = int(name.split("-")[1])
    assert size == (chips if name.startswith(("v5e", "v6e")) else 2 * chips)
    assert topology.libtpu == ("0.0.23" if "tensorflow" in topology.engines else None)
    # TPU7x is asked from Compute Engine, where the image is that of a family.
    assert (topology.machine_type is not None) == name.startswith("v7x")
    if topology.machine_type:
        assert topology.machine_type.endswith(f"-{topology.chips_per_host}t")
        assert topology.jax_runtime_version.startswith("ubuntu-accel-")


def test_pod_slices_of_tensorflow_have_images_for_pods():
    every = map(topologies.load, topologies.names())
    pods = {one.name: one.runtime_version for one in every if one.hosts > 1 and "tensorflow" in one.engines}
    assert set(pods) == {"v3-32", "v5e-16"}
    assert all("-pod" in version for version in pods.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("devices: 8", "devices: 8\ndevice: 8"), "v.yaml: unknown field `device`"),
        (("devices: 8", "devices: eight"), "v.yaml: `devices` must be of type int. Received: 'eight'"),
        (("devices: 8\n", ""), "v.yaml must have the field `devices`"),
        (("devices: 8", "devices: 8\ndevices: 4"), "`devices` stands twice"),
        (("devices: 8", "devices: 0"), "v.yaml: `devices` must be at least 1. Received: 0"),
        (("hosts: 1", "hosts: 3"), "v.yaml: `devices` must be a multiple of `hosts`. Received: 8 and 3"),
        (("  topology_name:", "  topology:"), "v.yaml: unknown field `compiler.topology`"),
        (('  topology_name: "v5e:2x4"\n', ""), "v.yaml: .*topology_name"),
        (("[2, 4, 1]", "[2, 4, x]"), "`compiler.chips_per_host_bounds` must be of type int"),
        (("name: v5e-8", "name: [v5e-8"), "v.yaml: not YAML"),
        ((V5E, "- v5e-8\n"), "v.yaml must hold fields and values"),
        (
            (
                "runtime_version: v2-alpha-tpuv5-lite\njax_runtime_version: v2-alpha-tpuv5-lite",
                "runtime_version: null\njax_runtime_version: null",
            ),
            "v.yaml: one of `runtime_version` and `jax_runtime_version` must be given",
        ),
    ],
)
def test_files_are_read_strictly(change, message):
    assert change[0] in V5E
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        Topology.from_yaml(V5E.replace(*change), "v.yaml")


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"`topology` must be one of v2-8, .*, v7x-256\. Received: 'v5e-7'"):
        topologies.load("v5e-7")


def test_arguments_of_the_compiler():
    assert CompilerTarget("v4:2x2x1", None, "megacore").arguments() == {
        "platform": "tpu",
        "topology_name": "v4:2x2x1",
        "chip_config_name": "megacore",
    }
    assert topologies.load("v5e-8").compiler.arguments()["chips_per_host_bounds"] == [2, 4, 1]


def test_measurements_are_written_and_read_again(tmp_path, monkeypatch):
    (tmp_path / "v5e-8.yaml").write_text(V5E, encoding="utf-8")
    monkeypatch.setattr(topologies, "_folder", lambda: tmp_path)
    before = topologies.load("v5e-8")
    for measured in (MEASURED, dataclasses.replace(MEASURED, largest_batch=56)):
        path = topologies.save_measurement("v5e-8", measured)
        assert topologies.load("v5e-8") == before.replace(measured=measured)
    text = (tmp_path / "v5e-8.yaml").read_text(encoding="utf-8")
    assert path == str(tmp_path / "v5e-8.yaml")
    assert text.splitlines()[0] == V5E.splitlines()[0]  # the comment stays
    assert text.count("measured:") == 1
    assert yaml.safe_load(text)["measured"]["largest_batch"] == 56


def test_a_file_names_itself(tmp_path, monkeypatch):
    (tmp_path / "v5e-4.yaml").write_text(V5E, encoding="utf-8")
    monkeypatch.setattr(topologies, "_folder", lambda: tmp_path)
    with pytest.raises(ConfigError, match=r"v5e-4\.yaml: `name` must be the name of the file\. Received: 'v5e-8'"):
        topologies.load("v5e-4")


def test_measurements_of_jax_stand_beside_each_other(tmp_path, monkeypatch):
    (tmp_path / "v7x-8.yaml").write_text(V7X, encoding="utf-8")
    monkeypatch.setattr(topologies, "_folder", lambda: tmp_path)
    plain = JaxMeasurement(**MEASURED.to_dict(), attention="plain", shard_optimizer=False)
    fused, sharded = plain.replace(attention="fused"), plain.replace(shard_optimizer=True)
    for measured in (plain, fused, sharded, fused.replace(total_gib=2.0)):
        topologies.save_measurement("v7x-8", measured)
    topology = topologies.load("v7x-8")
    assert topology.measured is None
    assert topology.measured_jax == (fused.replace(total_gib=2.0), plain, sharded)
    topologies.save_measurement("v7x-8", MEASURED)
    assert topologies.load("v7x-8") == topology.replace(measured=MEASURED)
    rows = table.jax_table().splitlines()[2:]
    assert [row.split(" | ")[2] for row in rows] == ["bert_base, fused", "bert_base, plain"]
    gains = [row.strip("| ").split(" | ")[2:4] for row in table.gains_table().splitlines()[2:]]
    assert gains == [["fused", "whole"], ["plain", "whole"], ["plain", "sharded"]]


def test_an_engine_that_does_not_run_on_a_topology():
    topologies.load("v5e-8").check_engine("jax")
    with pytest.raises(ValueError, match=r"`engine` must be jax on the topology v7x-8\. Received: 'tensorflow'"):
        topologies.load("v7x-8").check_engine("tensorflow")
    only = Topology.from_yaml(
        V5E.replace("jax_runtime_version: v2-alpha-tpuv5-lite", "jax_runtime_version: null"), "v5e-8.yaml"
    )
    with pytest.raises(ValueError, match=r"`engine` must be tensorflow on the topology v5e-8\. Received: 'jax'"):
        only.check_engine("jax")


@pytest.mark.parametrize("made", [table.jax_table, table.gains_table])
def test_the_readme_has_the_tables_of_jax(made):
    readme = (Path(__file__).resolve().parents[2] / "tpu_configs" / "README.md").read_text(encoding="utf-8")
    assert f"\n{made()}\n" in readme, "print them with: python -m tpu_configs.show"


def test_the_page_has_the_table_of_the_files():
    page = (Path(__file__).resolve().parents[2] / "docs" / "tpu.md").read_text(encoding="utf-8")
    assert f"\n{table.tensorflow_table()}\n" in page, "print it with: python -m tpu_configs.show"
