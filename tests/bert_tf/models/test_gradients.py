"""Gradients, compared with PyTorch's on equal weights and batch, without dropout (`tests/golden/make_gradients.py`)."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL

from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.models.weights import named_weights
from bert_tf.objectives.losses import pretraining_losses

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "gradients.npz"
KEY = slice(SMALL.hidden_size, 2 * SMALL.hidden_size)
# (hidden_act, jit_compile, recompute, training); under training, attention has a custom gradient.
CASES = [
    ("gelu", False, False, False),
    ("gelu", False, False, True),
    ("gelu_new", False, False, True),
    ("gelu", False, True, True),
    *(
        pytest.param("gelu", True, *last, marks=pytest.mark.long)
        for last in [(False, False), (False, True), (True, True)]
    ),
]


def _under(arrays, prefix):
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


@pytest.mark.parametrize(("hidden_act", "jit_compile", "recompute", "training"), CASES)
def test_gradients_equal_those_of_transformers(hidden_act, jit_compile, recompute, training):
    arrays = dict(np.load(GOLDEN))
    model = BertPretrainer(SMALL.replace(hidden_act=hidden_act, max_position_embeddings=16, recompute=recompute))
    weights = named_weights(model)
    start = _under(arrays, "weight/")
    assert set(start) == set(weights)
    for name, weight in weights.items():
        weight.assign(start[name])
    batch = {name: tf.constant(array) for name, array in _under(arrays, "batch/").items()}

    def loss_and_gradients(batch):
        with tf.GradientTape() as tape:
            sums = pretraining_losses(model(batch, training=training), batch)
            loss = tf.add_n([total / weight for total, weight in sums.values()])
        gradients = tape.gradient(loss, [weight.value for weight in weights.values()])
        return loss, [tf.convert_to_tensor(gradient) for gradient in gradients]

    loss, gradients = tf.function(loss_and_gradients, jit_compile=jit_compile)(batch)
    assert float(loss) == pytest.approx(float(arrays[f"{hidden_act}/loss"]), rel=1e-5)
    references = _under(arrays, f"{hidden_act}/gradient/")
    for name, found in zip(weights, map(np.asarray, gradients), strict=True):
        expected = references[name]
        if name.endswith("query_key_value/bias"):
            # The true gradient of the key's bias is zero: it adds the same number to all scores of a query.
            np.testing.assert_allclose(found[KEY], 0.0, atol=1e-6, err_msg=name)
            found, expected = np.delete(found, KEY), np.delete(expected, KEY)
        norm = np.linalg.norm(expected)
        assert norm > 1e-3, name
        assert np.linalg.norm(found - expected) < 1e-4 * norm, name
