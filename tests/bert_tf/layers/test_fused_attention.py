"""Fused attention: the kernels on JAX equal plain attention, and TensorFlow, which has none, refuses it."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from small_model import SMALL

from bert_tf.layers.attention import SelfAttention
from bert_tf.layers.fused_attention import PLATFORMS, has_kernel
from bert_tf.models.classifier import BertClassifier
from bert_tf.models.encoder import BertEncoder

SCRIPT = Path(__file__).with_name("jax_fused_attention.py")
FUSED = SMALL.replace(attention="fused")
ON_EACH_PLATFORM = pytest.mark.parametrize("platform", PLATFORMS)


def _on_jax(part, folder):
    pytest.importorskip("jax")
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        # Without XLA's optimizations, the programs are compiled in half the time.
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0",
        "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(SCRIPT.parents[2])]),
    }
    command = [sys.executable, str(SCRIPT), part, str(folder / "out.npz")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return dict(np.load(folder / "out.npz"))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return _on_jax("kernels", tmp_path_factory.mktemp("kernels"))


@ON_EACH_PLATFORM
@pytest.mark.parametrize("devices", ["", "mesh_"])
def test_outputs_and_gradients_equal_those_of_plain_attention(found, platform, devices):
    # Packed, whole and padded rows of 130 tokens, in float32. Plain attention gives padding other (unused) outputs.
    is_token = (found["mask"] > 0)[:, None, :, None]
    outputs = found[f"{platform}/{devices}outputs"]
    assert np.isfinite(outputs).all()
    np.testing.assert_allclose(outputs * is_token, found["plain/outputs"] * is_token, atol=1e-5)
    gradients = found[f"{platform}/{devices}gradients"]  # of query, key and value
    assert np.abs(found["plain/gradients"]).max() > 1.0
    np.testing.assert_allclose(gradients, found["plain/gradients"], atol=2e-5)
    assert not (gradients * ~is_token).any()


@ON_EACH_PLATFORM
def test_sequences_of_a_row_do_not_see_each_other(found, platform):
    is_second = found["mask"] == 2
    alone = found[f"{platform}/outputs"][0][:, is_second[0]]
    np.testing.assert_allclose(alone, found[f"{platform}/alone"][0], atol=1e-5)
    gradients = found[f"{platform}/of_second"]
    assert np.abs(gradients).max() > 1.0
    assert not (gradients * ~is_second[:, None, :, None]).any()  # exactly zero


@pytest.mark.long  # compiles a model three times
def test_models_equal_those_with_plain_attention(tmp_path):
    found = _on_jax("models", tmp_path)
    names = [name.removeprefix("plain/") for name in found if name.startswith("plain/")]
    assert {"loss", "masked_lm_logits", "encoder/block_0/attention/query_key_value/kernel"} <= set(names)
    for name in names:
        for platform in PLATFORMS:
            np.testing.assert_allclose(
                found[f"{platform}/{name}"], found[f"plain/{name}"], atol=1e-5, err_msg=f"{name} on {platform}"
            )


@pytest.mark.long  # compiles a step three times
def test_trainings_equal_those_with_plain_attention(tmp_path):
    found = _on_jax("training", tmp_path)
    assert np.abs(np.diff(found["plain/metrics"], axis=0)).max() > 0.1
    for platform in PLATFORMS:
        np.testing.assert_allclose(found[f"{platform}/metrics"], found["plain/metrics"], atol=1e-5, rtol=1e-5)


def test_devices_and_dtypes_without_a_kernel_are_named(found):
    assert (
        "kernels on a GPU (cuDNN) and on a TPU (splash attention). Received: fused, on cpu" in found["error/cpu"].item()
    )
    assert "must compute in bfloat16 or float16 (`train.precision`" in found["error/float32"].item()
    assert found["error/dropout"].item().startswith("`dropout_rate` must be 0 with fused attention")
    assert found["error/order"].item().startswith("attention must be plain (`model.attention`) for inputs with `order`")


def test_saved_models_have_fused_attention_where_there_is_a_kernel(found):
    read = {name: found[f"read/{name}"].item() for name in ("layer", "here", "for_tpu")}
    assert read == {"layer": "fused", "here": "plain", "for_tpu": "fused"}


def test_a_model_is_refused_when_it_is_made():
    message = r"attention must be plain on this backend.*JAX with a GPU or a TPU.*Received: fused, on tensorflow"
    with pytest.raises(ValueError, match=message):
        BertEncoder(FUSED)
    with pytest.raises(ValueError, match=r"`implementation` must be one of plain, fused\. Received: 'flash'"):
        SelfAttention(hidden_size=8, num_heads=2, implementation="flash")
    assert not has_kernel()


def test_a_model_that_was_saved_with_it_is_made_with_plain_attention(caplog):
    caplog.set_level("INFO", logger="absl")
    plain = BertClassifier(SMALL, num_classes=3)
    saved = plain.get_config()
    saved["config"] = FUSED.to_dict()  # as a model on JAX has it
    model = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(plain) | {"config": saved})
    assert model.config == SMALL
    assert caplog.messages == ["The model was saved with fused attention, and is made with plain attention."]
