import numpy as np
import pytest
import tensorflow as tf
from small_model import random_classification_batch, random_pretraining_batch

from bert_tf.objectives.losses import classification_losses, cross_entropy, pretraining_losses


def _nats(logits, labels):
    logits = np.asarray(logits, np.float64)
    log_sum = np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1)) + logits.max(-1)
    return log_sum - np.take_along_axis(logits, labels[..., None], -1)[..., 0]


def _logits(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32") * 3


def test_cross_entropy_equals_the_formula():
    logits, labels = _logits(2, 3, 5), np.array([[0, 4, 2], [1, 1, 3]], "int32")
    weights = np.array([[1, 0, 2], [0, 0, 0.5]], "float32")
    total, weight = cross_entropy(logits, labels, weights)
    assert float(total) == pytest.approx((_nats(logits, labels) * weights).sum(), rel=1e-6)
    assert float(weight) == 3.5


def test_examples_of_weight_0_have_no_effect():
    logits, labels, weights = _logits(4, 5), np.arange(4, dtype="int32"), np.array([1, 0, 1, 0], "float32")
    before = cross_entropy(logits, labels, weights)
    logits[1::2], labels[1::2] = 1e4, 0
    assert [float(x) for x in cross_entropy(logits, labels, weights)] == [float(x) for x in before]
    assert [float(x) for x in cross_entropy(logits, labels, 0 * weights)] == [0.0, 0.0]


def test_half_precision_logits_are_summed_in_float32():
    logits = tf.constant(_logits(1000, 4), tf.bfloat16)
    total, weight = cross_entropy(logits, np.zeros(1000, "int32"), np.ones(1000, "float32"))
    assert total.dtype == tf.float32
    expected = _nats(tf.cast(logits, tf.float32), np.zeros(1000, "int32")).sum()
    assert float(total) == pytest.approx(expected, rel=1e-5)
    assert float(weight) == 1000


def test_pretraining_losses_are_means_over_weighted_examples():
    batch = random_pretraining_batch(rows=5)
    batch["next_sentence_weights"][2] = 0
    outputs = {"masked_lm_logits": _logits(5, 3, 40), "next_sentence_logits": _logits(5, 1, 2)}
    sums = pretraining_losses(outputs, batch)
    assert list(sums) == ["masked_lm_loss", "next_sentence_loss"]
    masked = batch["masked_lm_weights"] > 0
    mean = _nats(outputs["masked_lm_logits"], batch["masked_lm_ids"])[masked].mean()
    total, weight = sums["masked_lm_loss"]
    assert float(weight) == masked.sum() < masked.size
    assert float(total / weight) == pytest.approx(mean, rel=1e-5)
    kept = [0, 1, 3, 4]
    mean = _nats(outputs["next_sentence_logits"], batch["next_sentence_labels"])[kept].mean()
    total, weight = sums["next_sentence_loss"]
    assert float(weight) == 4
    assert float(total / weight) == pytest.approx(mean, rel=1e-5)


def test_classification_losses_are_means_over_weighted_examples():
    batch = random_classification_batch(rows=6)
    batch["label_weights"][4:] = 0
    logits = _logits(6, 3)
    total, weight = classification_losses(logits, batch)["classification_loss"]
    assert float(total / weight) == pytest.approx(_nats(logits, batch["label_ids"])[:4].mean(), rel=1e-5)
