import math

import numpy as np
import pytest
from small_model import random_classification_batch, random_pretraining_batch

from bert_tf.objectives.metrics import accuracy, classification_metrics, log_unigram, pretraining_metrics, ratios


def test_accuracy_counts_weights():
    logits = np.eye(4, dtype="float32")[[0, 1, 2, 3, 3]]
    labels = np.array([0, 1, 0, 3, 1], "int32")
    weights = np.array([1, 0.5, 1, 0, 1], "float32")
    assert [float(x) for x in accuracy(logits, labels, weights)] == [1.5, 3.5]


def test_log_unigram_smooths_counts():
    special_ids = (0, 1, 2, 3, 4)
    counts = np.array([100, 7, 50, 50, 50, 20, 0])
    found = log_unigram(counts, special_ids, vocab_size=9)
    assert (found.dtype, found.shape) == (np.float32, (9,))
    expected = np.array([1e-3, 7.5, 1e-3, 1e-3, 1e-3, 20.5, 0.5, 1e-3, 1e-3])
    np.testing.assert_allclose(found, np.log(expected / expected.sum()), rtol=1e-5)
    assert np.exp(found).sum() == pytest.approx(1, abs=1e-5)


def test_log_unigram_finds_special_tokens_anywhere():
    found = log_unigram(np.array([9, 9, 9, 9, 9, 9]), (5, 0, 4, 3, 2), vocab_size=6)
    assert (found[[5, 4, 3, 2]] < -8).all()
    assert (found[[0, 1]] > -1).all()


def test_pretraining_metrics_equal_those_by_hand():
    batch = random_pretraining_batch(rows=6)
    batch["next_sentence_labels"][:, 0] = [0, 1, 1, 1, 0, 1]
    batch["next_sentence_weights"][:, 0] = [1, 1, 1, 1, 1, 0]
    right = np.eye(40, dtype="float32")[batch["masked_lm_ids"]]
    right[0, 0] = np.roll(right[0, 0], 1)  # one prediction is wrong
    outputs = {
        "masked_lm_logits": right,
        "next_sentence_logits": np.tile(np.array([0, 1], "float32"), (6, 1, 1)),
    }
    table = np.log(np.random.default_rng(0).dirichlet(np.ones(40))).astype("float32")
    found = ratios(pretraining_metrics(outputs, batch, table))
    masked = batch["masked_lm_weights"] > 0
    assert found["masked_lm_accuracy"] == pytest.approx(1 - 1 / masked.sum())
    assert found["next_sentence_accuracy"] == pytest.approx(3 / 5)
    assert found["next_sentence_random"] == pytest.approx(3 / 5)
    assert found["unigram_entropy"] == pytest.approx(-table[batch["masked_lm_ids"][masked]].mean(), rel=1e-5)
    assert "unigram_entropy" not in pretraining_metrics(outputs, batch)


def test_classification_metrics_leave_out_weight_0():
    batch = random_classification_batch(rows=6)
    batch["label_weights"][4:] = 0
    logits = np.eye(3, dtype="float32")[batch["label_ids"]]
    logits[0] = np.roll(logits[0], 1)
    logits[5] = np.roll(logits[5], 1)
    assert ratios(classification_metrics(logits, batch)) == {"accuracy": pytest.approx(3 / 4)}


def test_ratios_without_weight_are_nan():
    found = ratios({"a": (3.0, 4.0), "b": (0.0, 0.0)})
    assert found["a"] == 0.75
    assert math.isnan(found["b"])
