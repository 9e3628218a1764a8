"""The arguments by which a job takes devices through JAX, and the shares of rows and moments."""

import pytest

jax = pytest.importorskip("jax")

from bert_tf.training.jax_engine.devices import Devices, attached_devices  # noqa: E402
from bert_tf.training.jax_engine.profiling import JaxProfile  # noqa: E402


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"strategy": "mirrored"}, r"`strategy` must be one of auto, one_device, .*with `engine` jax.*'mirrored'"),
        ({"num_devices": 0}, r"`num_devices` must be at least 1\. Received: 0"),
        ({"tpu": "local", "strategy": "one_device"}, r"`tpu` needs `strategy` auto or tpu\. Received: 'one_device'"),
        ({"tpu": "local", "num_devices": 2}, r"`num_devices` is for GPUs; a TPU is used whole\. Received: 2"),
        ({"strategy": "one_device", "num_devices": 2}, r"`strategy` one_device has `num_devices` 1\. Received: 2"),
        ({"strategy": "multi_worker"}, r"needs the environment variable TF_CONFIG or JAX_COORDINATOR_ADDRESS"),
        ({"strategy": "tpu"}, r"JAX finds no TPU on this machine\. Received: devices of kind cpu"),
    ],
)
def test_arguments_that_contradict_each_other(monkeypatch, arguments, rule):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match=rule):
        attached_devices(**arguments)


def test_a_batch_that_the_devices_do_not_divide():
    devices = Devices()
    devices.check_batch("train.batch_size", 3)
    devices.devices = devices.devices * 2
    with pytest.raises(ValueError, match=r"`train.batch_size` must be a multiple of the 2 devices\. Received: 3"):
        devices.check_batch("train.batch_size", 3)


def test_numbers_of_processes_are_summed_exactly(monkeypatch):
    """Two processes with the same values, whose collective is a stand-in: large numbers keep their last digits."""
    devices = Devices(num_processes=2, index=1)
    monkeypatch.setattr(
        "bert_tf.training.jax_engine.devices.multihost_utils.process_allgather", lambda words: [words, words]
    )
    assert devices.sum_over_processes([2.0**40 + 1, 0.1, -3.0]) == [2.0**41 + 2, 0.2, -6.0]
    devices.require_agreement("step", 1_234_567)
    lost = pytest.raises(ConnectionError, match=r"another of the 2 workers was lost \(UNAVAILABLE: gone\).*worker 1")
    with lost, devices.naming_lost_processes():
        raise ValueError("UNAVAILABLE: gone\nat a place")
    with pytest.raises(ValueError, match=r"^a rule"), devices.naming_lost_processes():
        raise ValueError("a rule of this project")


def test_a_profile_of_some_steps(tmp_path):
    with JaxProfile(str(tmp_path), (1, 3)) as profile:
        for step in range(5):
            profile.at(step)
            jax.numpy.ones(2).block_until_ready()
    assert len(list((tmp_path / "plugins" / "profile").rglob("*.xplane.pb"))) == 1
