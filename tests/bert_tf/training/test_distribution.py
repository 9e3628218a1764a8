"""Replicas: several logical CPU devices give what one device gives.

TensorFlow's collectives of two strategies in one process disturb each other: the module shares one of two devices, and
four have a process of their own.
"""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, numpy_weights, random_pretraining_batch

from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.objectives import Objective, pretraining_objective
from bert_tf.training import checkpoints
from bert_tf.training.distribution import Distribution, make_distribution
from bert_tf.training.loop import make_evaluation
from bert_tf.training.step import TrainState, make_train_step

STEPS = 10
REPLICAS = int(os.environ.get("REPLICAS", "2"))
CONFIG = SMALL.replace(num_layers=1)
TRAIN = TrainConfig(num_steps=20, batch_size=8, learning_rate=1e-2, warmup_steps=2, jit_compile=False)


def _batches():
    """Rows whose number of predictions differs, all of one kind in one half: uneven weights on the replicas."""
    batches = [random_pretraining_batch(seed, rows=8) for seed in range(STEPS)]
    for batch in batches:
        batch["masked_lm_weights"][4:, 1:] = 0
        batch["next_sentence_weights"][5:7] = 0
    return tf.data.Dataset.from_tensor_slices(
        {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
    )


def _train(distribution, steps=STEPS):
    keras.utils.set_random_seed(0)
    with distribution.scope():
        state = TrainState(BertPretrainer(CONFIG))
    step = make_train_step(state, pretraining_objective(), TRAIN, OptimizerConfig(), distribution)
    compiled = tf.function(lambda batch: distribution.run(step, batch))
    figures = []
    for batch in distribution.split(_batches().take(steps)):
        figures.append({name: tuple(map(float, pair)) for name, pair in compiled(batch).items()})
    return state, figures


@pytest.fixture(scope="module")
def one_device():
    return _train(Distribution())


@pytest.fixture(scope="module")
def replicas():
    return make_distribution(num_devices=REPLICAS)


@pytest.mark.long
def test_four_replicas():
    result = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, "-k", "test_replicas_equal_one_device"],
        env=os.environ | {"REPLICAS": "4"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 passed" in result.stdout


def test_replicas_equal_one_device(one_device, replicas, tmp_path):
    num_devices, distribution = REPLICAS, replicas
    assert distribution.num_replicas == num_devices
    assert distribution.describe() == f"MirroredStrategy, {num_devices} replicas"
    assert not distribution.is_tpu
    state, figures = _train(distribution)
    expected, expected_figures = one_device
    for found, wanted in zip(figures, expected_figures, strict=True):
        assert found == {name: pytest.approx(pair, rel=1e-4, abs=1e-5) for name, pair in wanted.items()}
    for name, value in numpy_weights(expected.model).items():
        np.testing.assert_allclose(numpy_weights(state.model)[name], value, atol=1e-5, err_msg=name)
    for name, weight in state.weights.items():
        copies = [copy.numpy() for copy in weight.value.values]
        assert len(copies) == num_devices
        assert all(np.array_equal(copies[0], copy) for copy in copies), name
    assert int(state.step.numpy()) == STEPS

    # Written by replicas, read on one device.
    saved = checkpoints.save(str(tmp_path), STEPS, state.variables(), keep=1)
    again = TrainState(BertPretrainer(CONFIG))
    checkpoints.restore(saved, again.variables())
    for name, value in state.variables().items():
        assert np.array_equal(np.asarray(again.variables()[name].numpy()), np.asarray(value.numpy())), name

    # And evaluated by replicas as by one.
    several, one = (
        make_evaluation(model.model, pretraining_objective(), where)(_batches().take(3))
        for model, where in ((state, distribution), (again, Distribution()))
    )
    assert several == {name: pytest.approx(value, rel=1e-5) for name, value in one.items()}


def test_a_checkpoint_of_one_device_goes_on_on_two(one_device, replicas, tmp_path):
    saved = checkpoints.save(str(tmp_path), STEPS, one_device[0].variables(), keep=1)
    with replicas.scope():
        state = TrainState(BertPretrainer(CONFIG))
    checkpoints.restore(saved, state.variables())
    for name, value in one_device[0].variables().items():
        restored = state.variables()[name]
        for copy in (restored.value if isinstance(restored, keras.Variable) else restored).values:
            assert np.array_equal(copy.numpy(), value.numpy()), name


@pytest.mark.parametrize("dropout_rate", [0.0, 0.5])
def test_replicas_draw_different_masks(replicas, dropout_rate):
    distribution = replicas
    keras.utils.set_random_seed(0)
    with distribution.scope():
        state = TrainState(BertPretrainer(CONFIG.replace(dropout_rate=dropout_rate)))
    plain = pretraining_objective()

    def spread(outputs, _):
        # Summed over replicas, value and square tell whether all replicas had the same.
        value = tf.reduce_sum(outputs["masked_lm_logits"] ** 2)
        return {"value": (value, value**2)}

    step = make_train_step(
        state, Objective(plain.losses, plain.weights, spread), TRAIN, OptimizerConfig(), distribution
    )
    one = random_pretraining_batch(rows=1)
    same = {name: np.repeat(array, REPLICAS, axis=0) for name, array in one.items()}
    (batch,) = distribution.split(tf.data.Dataset.from_tensors(same))
    total, squares = tf.function(lambda batch: distribution.run(step, batch))(batch)["value"]
    variance = float(squares) / REPLICAS - (float(total) / REPLICAS) ** 2
    assert (variance > 1e-3 * float(squares)) == (dropout_rate > 0)


def test_rows_go_to_the_replicas_in_order(replicas):
    distribution = replicas
    rows = tf.data.Dataset.range(8).batch(4, drop_remainder=True)
    batches = [distribution.strategy.experimental_local_results(batch) for batch in distribution.split(rows)]
    found = [[part.numpy().tolist() for part in parts] for parts in batches]
    assert found == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


def test_one_device_needs_no_strategy():
    for distribution in (Distribution(), make_distribution(), make_distribution(num_devices=1)):
        assert distribution.strategy is None
        assert distribution.num_replicas == 1
        assert distribution.describe() == "one device (CPU)"


def test_wrong_wishes():
    with pytest.raises(ValueError, match=r"--num_devices must be at most the 4 found\. Received: 5"):
        make_distribution(num_devices=5)
    with pytest.raises(ValueError, match=r"--num_devices must be at least 1\. Received: 0"):
        make_distribution(num_devices=0)


def test_a_tpu_that_is_not_there(monkeypatch):
    def nowhere(tpu):
        raise ValueError("Please provide a TPU Name to connect to.\nand more")

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", nowhere)
    message = r"--tpu: no TPU answers there \(Please provide a TPU Name to connect to\.\)\. Received: 'grpc://nowhere'"
    with pytest.raises(ValueError, match=message):
        make_distribution(tpu="grpc://nowhere")
