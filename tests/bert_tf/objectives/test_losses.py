import numpy as np
import pytest
import tensorflow as tf
from small_model import random_classification_batch, random_pretraining_batch

from bert_tf.objectives.losses import (
    classification_losses,
    cross_entropy,
    multi_label_losses,
    pretraining_losses,
    tagging_losses,
)


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


TARGETS = np.array([[1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0]], "float32")
EXAMPLE_WEIGHTS = np.array([1, 0, 2], "float32")


def _value_and_gradient(losses, logits, batch, **options):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        [(total, weight)] = losses(logits, batch, **options).values()
    return float(total), float(weight), tape.gradient(total, logits).numpy()


def _slopes(function, logits, step=1e-5):
    """Return the gradient of a function of float64 logits by central differences."""
    slopes = np.zeros(logits.shape)
    for index in np.ndindex(logits.shape):
        change = np.zeros(logits.shape)
        change[index] = step
        slopes[index] = (function(logits + change) - function(logits - change)) / (2 * step)
    return slopes


def _check_loss(losses, logits, batch, expected, **options):
    total, _, gradient = _value_and_gradient(losses, logits, batch, **options)
    assert total == pytest.approx(expected(logits.astype(np.float64)), rel=1e-5)
    np.testing.assert_allclose(gradient, _slopes(expected, logits.astype(np.float64)), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_losses_and_gradients_equal_the_formula(gamma):
    """Lin et al. 2017, equation 4: -(1 - p) ** gamma x log(p)."""
    labels, tags = np.array([0, 3, 1], "int32"), np.array([[0, 4], [2, 2], [1, 3]], "int32")
    tag_weights = np.array([[1, 0.5], [0, 3], [1, 1]], "float32")

    def of_nats(nats, weights):
        return ((1 - np.exp(-nats)) ** gamma * nats * weights).sum()

    batch = {"label_ids": labels, "label_weights": EXAMPLE_WEIGHTS}
    expected = lambda logits: of_nats(_nats(logits, labels), EXAMPLE_WEIGHTS)  # noqa: E731
    _check_loss(classification_losses, _logits(3, 4), batch, expected, focal_gamma=gamma)
    batch = {"tag_ids": tags, "tag_weights": tag_weights}
    expected = lambda logits: of_nats(_nats(logits, tags), tag_weights)  # noqa: E731
    _check_loss(tagging_losses, _logits(3, 2, 5), batch, expected, focal_gamma=gamma)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("positive", [(), (3.0, 0.5, 1.0, 0.0)], ids=["plain", "weighted"])
def test_multi_label_losses_and_gradients_equal_the_formula(gamma, positive):
    """`pos_weight` as in PyTorch's `BCEWithLogitsLoss`, times the factor of Lin et al. 2017."""
    batch = {"label_targets": TARGETS, "label_weights": EXAMPLE_WEIGHTS}
    if positive:
        batch["target_weights"] = np.where(TARGETS > 0, np.array(positive, "float32"), np.float32(1))

    def expected(logits):
        p = 1 / (1 + np.exp(-logits))
        present = -(np.array(positive or 1.0)) * TARGETS * (1 - p) ** gamma * np.log(p)
        absent = -(1 - TARGETS) * p**gamma * np.log(1 - p)
        return ((present + absent).mean(axis=-1) * EXAMPLE_WEIGHTS).sum()

    _check_loss(multi_label_losses, _logits(3, 4), batch, expected, focal_gamma=gamma)
    assert _value_and_gradient(multi_label_losses, _logits(3, 4), batch, focal_gamma=gamma)[1] == 3.0


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_losses_of_certain_answers_are_finite(gamma):
    logits = np.array([[200.0, -200.0], [-200.0, 200.0]], "float32")
    batch = {"label_ids": np.zeros(2, "int32"), "label_weights": np.ones(2, "float32")}
    total, _, gradient = _value_and_gradient(classification_losses, logits, batch, focal_gamma=gamma)
    assert total == pytest.approx(400.0)
    assert np.isfinite(gradient).all()
    batch = {"label_targets": np.array([[1, 0], [1, 0]], "float32"), "label_weights": np.ones(2, "float32")}
    total, _, gradient = _value_and_gradient(multi_label_losses, logits, batch, focal_gamma=gamma)
    assert total == pytest.approx(200.0)
    assert np.isfinite(gradient).all()
