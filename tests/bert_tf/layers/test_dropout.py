import keras
import numpy as np
import pytest
import tensorflow as tf

from bert_tf.layers.dropout import Dropout
from bert_tf.layers.random_bits import fold_in, random_bits


def _mask(rate, seed, shape=(64, 256)):
    return Dropout(rate)(np.ones(shape, "float32"), training=True, seed=seed).numpy() != 0


def test_the_mask_is_a_function_of_the_seed():
    assert np.array_equal(_mask(0.5, 7), _mask(0.5, 7))
    agreement = np.mean(_mask(0.5, 7) == _mask(0.5, 8))
    assert agreement == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_has_its_rate_and_keeps_the_mean(rate):
    out = Dropout(rate)(np.ones((512, 512), "float32"), training=True, seed=3).numpy()
    share = np.mean(out == 0)
    assert share == pytest.approx(rate, abs=5 * np.sqrt(rate * (1 - rate) / out.size))
    np.testing.assert_allclose(out[out != 0], 1 / (1 - rate), rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1])
def test_neighbours_are_independent(axis):
    mask = _mask(0.5, 11, (512, 512)).astype("float64")
    rolled = np.roll(mask, 1, axis)
    assert abs(np.corrcoef(mask.ravel(), rolled.ravel())[0, 1]) < 0.01


def test_nothing_is_dropped_outside_training_or_at_rate_0():
    x = np.random.default_rng(0).normal(size=(4, 8)).astype("float32")
    assert np.array_equal(Dropout(0.5)(x, training=False, seed=1), x)
    assert np.array_equal(Dropout(0.5)(x), x)
    assert np.array_equal(Dropout(0.0)(x, training=True, seed=1), x)


def test_without_a_seed_each_call_has_a_new_mask():
    layer = Dropout(0.5)
    x = np.ones((8, 64), "float32")
    first, second = (layer(x, training=True).numpy() for _ in range(2))
    assert not np.array_equal(first, second)
    keras.utils.set_random_seed(5)
    one = Dropout(0.5)(x, training=True).numpy()
    keras.utils.set_random_seed(5)
    assert np.array_equal(one, Dropout(0.5)(x, training=True).numpy())


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_masks_equal_eager_masks(jit_compile):
    layer = Dropout(0.3)
    x = tf.ones((16, 32))
    compiled = tf.function(lambda x, seed: layer(x, training=True, seed=seed), jit_compile=jit_compile)
    assert np.array_equal(compiled(x, tf.constant(9)), layer(x, training=True, seed=9))


def test_half_precision_keeps_its_dtype():
    out = Dropout(0.5, dtype="mixed_bfloat16")(tf.ones((4, 4)), training=True, seed=1)
    assert out.dtype == tf.bfloat16


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_wrong_rates_are_refused(rate):
    with pytest.raises(ValueError, match=f"`rate` must be at least 0 and below 1. Received: {rate}"):
        Dropout(rate)


def test_bits_are_uniform():
    bits = random_bits((1 << 16,), fold_in(1, 2)).numpy()
    assert bits.dtype == np.uint32
    buckets = np.bincount(bits >> 24, minlength=256)
    expected = bits.size / 256
    # Chi-squared with 255 degrees of freedom: mean 255, standard deviation 22.6.
    assert abs(np.sum((buckets - expected) ** 2) / expected - 255) < 5 * 22.6
    for bit in range(32):
        assert np.mean(bits >> bit & 1) == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(bits.size))


def test_folding_gives_unrelated_seeds():
    seeds = [int(fold_in(fold_in(seed, step), replica)) for seed in (0, 1) for step in range(50) for replica in (0, 1)]
    assert len(set(seeds)) == len(seeds)
    first, second = (np.asarray(random_bits((4096,), seed)) for seed in (fold_in(0, 0), fold_in(0, 1)))
    assert np.mean(first == second) < 0.01
    assert fold_in(3, 4) == fold_in(tf.constant(3), tf.constant(4, tf.int64))
