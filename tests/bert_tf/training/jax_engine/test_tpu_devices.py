"""The TPUs that a job finds, without one: the devices are stand-ins."""

from types import SimpleNamespace

import pytest

jax = pytest.importorskip("jax")

from bert_tf.training.jax_engine.devices import attached_devices  # noqa: E402


def test_tpus_of_two_generations_are_refused(monkeypatch):
    kinds = ("TPU v5 lite", "TPU v6 lite", "TPU v5 lite")
    found = [SimpleNamespace(platform="tpu", device_kind=kind) for kind in kinds]
    monkeypatch.setattr(jax, "devices", lambda: found)
    with pytest.raises(ValueError, match=r"must be of one kind\. Received: TPU v5 lite, TPU v6 lite"):
        attached_devices(tpu="local")


def test_a_tpu_is_not_replaced_by_the_cpu():
    with pytest.raises(ValueError, match=r"JAX finds no TPU on this machine\. Received: devices of kind cpu"):
        attached_devices(tpu="local")


def test_a_pod_is_not_driven_from_one_host():
    with pytest.raises(ValueError, match=r"start the program on every host of the TPU .*Received: 'pod'"):
        attached_devices(tpu="pod")
