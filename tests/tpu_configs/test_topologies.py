"""Topologies: one strict file each."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from bert_tf.configs.base import ConfigError
from tpu_configs import table, topologies
from tpu_configs.topologies import CompilerTarget, Measurement, Topology

V5E = topologies.yaml_file("v5e-8").read_text(encoding="utf-8")
MEASURED = Measurement("bert_base", 512, 32, 1.0, 2.0, 0.1, 3.1, 9.9, 9.6, 2, None, "tensorflow 2.21.0")


def test_there_is_one_for_each_generation():
    names = topologies.names()
    assert names == ["v2-8", "v3-8", "v3-32", "v4-8", "v5e-4", "v5e-8", "v5e-16", "v5p-8", "v6e-4", "v6e-8"]


@pytest.mark.parametrize("name", topologies.names())
def test_the_numbers_of_a_topology_agree_with_each_other(name):
    topology = topologies.load(name)
    chips = 1
    for size in topology.chip_topology.split("x"):
        chips *= int(size)
    assert topology.hosts * topology.chips_per_host == chips
    cores = 2 if name.startswith(("v2", "v3")) else 1
    assert topology.devices == chips * cores
    assert topology.compiler.topology_name == f"{name.split('-')[0]}:{topology.chip_topology}"
    # Names count cores up to v5p, where two of them are one device since v4, and chips since v5e.
    size = int(name.split("-")[1])
    assert size == (chips if name.startswith(("v5e", "v6e")) else 2 * chips)
    assert topology.libtpu == "0.0.23"


def test_pod_slices_have_images_for_pods():
    pods = {
        name: topologies.load(name).runtime_version for name in topologies.names() if topologies.load(name).hosts > 1
    }
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
    ],
)
def test_files_are_read_strictly(change, message):
    assert change[0] in V5E
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        Topology.from_yaml(V5E.replace(*change), "v.yaml")


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"`topology` must be one of v2-8, .*, v6e-8\. Received: 'v5e-7'"):
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


def test_the_page_has_the_table_of_the_files():
    page = (Path(__file__).resolve().parents[2] / "docs" / "tpu.md").read_text(encoding="utf-8")
    assert f"\n{table.markdown_table()}\n" in page, "print it with: python -m tpu_configs.show"
