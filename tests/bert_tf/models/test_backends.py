"""Models on Keras's JAX backend: outputs, dropout masks, loss and gradients equal those of TensorFlow."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, packed_pretraining_batch, shake

from bert_tf.models.classifier import BertClassifier
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.models.weights import named_weights
from bert_tf.objectives.losses import pretraining_losses

SCRIPT = Path(__file__).with_name("jax_outputs.py")


@pytest.mark.long  # two frameworks start and compile
@pytest.mark.parametrize(
    "changes",
    [
        {"dropout_rate": 0.1, "attention_dropout_rate": 0.1},
        {
            "dropout_rate": 0.1,
            "embedding_size": 8,
            "recompute": True,
            "hidden_act": "gelu_new",
            "position_embedding": "sinusoidal",
        },
    ],
)
@pytest.mark.parametrize("has_order", [False, True])
def test_jax_equals_tensorflow(changes, has_order, tmp_path):
    pytest.importorskip("jax")
    config = SMALL.replace(**changes)
    batch = packed_pretraining_batch()
    if has_order:
        batch["order"] = batch["position_ids"]
    pretrainer, classifier = BertPretrainer(config), BertClassifier(config, num_classes=3, pooling="mean")
    arrays = {f"batch/{name}": array for name, array in batch.items()}
    arrays |= {f"config/{name}": np.array(value) for name, value in config.to_dict().items() if value is not None}
    for kind, model in (("pretrainer", pretrainer), ("classifier", classifier)):
        shake(model, scale=0.2)
        arrays |= {f"{kind}/{name}": weight.numpy() for name, weight in named_weights(model).items()}
    np.savez(tmp_path / "in.npz", **arrays)
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(SCRIPT), str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    subprocess.run(command, env=environment, check=True, timeout=300)
    found = dict(np.load(tmp_path / "out.npz"))

    assert not found.pop("tensorflow")
    expected = {"classifier": classifier(batch)}
    for training in (False, True):
        outputs = pretrainer(batch, training=training, seed=7)
        expected |= {f"{name}/{training}": tensor for name, tensor in outputs.items()}
    weights = {weight.path.partition("/")[2]: weight for weight in pretrainer.trainable_variables}
    with tf.GradientTape() as tape:
        sums = pretraining_losses(pretrainer(batch, training=True, seed=7), batch)
        expected["loss"] = tf.add_n([total / weight for total, weight in sums.values()])
    gradients = tape.gradient(expected["loss"], {name: weight.value for name, weight in weights.items()})
    expected |= {f"gradient/{name}": tf.convert_to_tensor(gradient) for name, gradient in gradients.items()}
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        np.testing.assert_allclose(found[name], tensor, atol=1e-5, rtol=1e-5, err_msg=name)
