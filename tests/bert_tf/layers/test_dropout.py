import keras
import numpy as np
import pytest
import tensorflow as tf

from bert_tf.layers.dropout import Dropout
from bert_tf.layers.random_bits import row_seeds


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


def test_without_a_seed_rows_are_numbered_within_the_batch():
    # As in `fit`: one draw for the call, into which the rows' numbers are folded.
    keras.utils.set_random_seed(5)
    whole = Dropout(0.5)(np.ones((8, 64), "float32"), training=True).numpy()
    keras.utils.set_random_seed(5)
    layer = Dropout(0.5)
    assert np.array_equal(layer(np.ones((3, 64), "float32"), training=True), whole[:3])
    assert len({row.tobytes() for row in whole}) == 8


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


def test_a_row_keeps_its_mask_wherever_it_is_computed():
    layer, x = Dropout(0.3), tf.ones((6, 5, 8))
    seeds = row_seeds(4, 6)
    whole = layer(x, training=True, seed=4).numpy()
    assert np.array_equal(layer(x, training=True, seed=seeds), whole)
    order = [4, 1, 5, 0]
    gathered = layer(tf.gather(x, order), training=True, seed=tf.gather(seeds, order))
    assert np.array_equal(gathered, whole[order])
    assert len({row.tobytes() for row in whole}) == 6
    with pytest.raises(ValueError, match=r"one seed for each of the 6 rows\. Received: \(1,\)"):
        layer(x, training=True, seed=seeds[:1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_expectation_is_exact(dtype):
    # 1 / 0.9 is 1.1094 in bfloat16, 0.16 % too small. The mean of these draws is known to 0.02 %.
    rate = 0.1
    x = np.random.default_rng(0).uniform(1, 2, (128, 16384)).astype("float32")
    x = tf.cast(x, dtype)
    out = tf.cast(Dropout(rate, dtype=dtype)(x, training=True, seed=5), "float32").numpy()
    x = tf.cast(x, "float32").numpy()
    kept = out != 0
    assert np.mean(kept) == pytest.approx(1 - rate, abs=4 * np.sqrt(rate * (1 - rate) / x.size))
    assert np.mean(out[kept] / x[kept], dtype=np.float64) == pytest.approx(1 / (1 - rate), rel=1e-4)


def test_rates_close_to_one_drop_almost_all():
    out = Dropout(1 - 1e-12)(np.ones((4, 64), "float32"), training=True, seed=1).numpy()
    assert np.all(np.isfinite(out))
    assert np.mean(out == 0) > 0.99
