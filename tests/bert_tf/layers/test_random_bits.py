"""The quality of dropout's random bits, by statistics of fixed seeds, and their arithmetic at every size.

Each statistic is compared with what independent bits have: a mean or a correlation in units of its standard deviation
is within 5.5 (chance: one in 2.6e7), and the sum of the squares of N of them is N, give or take 5 of its own standard
deviations, sqrt(2 N). The sum finds what is too regular as well.
"""

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.layers.random_bits import bits_at, fold_in, random_bits, row_seeds

RATE = 0.1
STEPS, LAYERS, ROWS = 4, 5, 16
HEADS, LENGTH = 4, 32


def _seeds(seed, step, layer, rows=ROWS):
    """The seeds of the rows, as a training step and the encoder make them."""
    return fold_in(row_seeds(fold_in(seed, step), rows), layer)


def _kept(bits):
    """Return True for each bit pattern that keeps its element at the rate of BERT's dropout."""
    return np.asarray(bits) >= np.uint32(round(RATE * 2**32))


@pytest.fixture(scope="module")
def masks():
    """Attention masks, bool [seeds, steps, layers, rows, heads, queries, keys]."""
    shape = (ROWS, HEADS, LENGTH, LENGTH)
    return np.array(
        [
            [[_kept(random_bits(shape, _seeds(seed, step, layer))) for layer in range(LAYERS)] for step in range(STEPS)]
            for seed in (0, 1)
        ]
    )


def _assert_standard_normal(deviations):
    deviations = np.ravel(deviations)
    assert np.abs(deviations).max() < 5.5
    # Three of them are enough to say that none is far out, but not that they vary as they should.
    assert len(deviations) < 8 or abs(np.sum(deviations**2) - len(deviations)) < 5 * np.sqrt(2 * len(deviations))


def _correlations(vectors):
    """The correlations of all pairs of vectors [N, M], in units of their standard deviation."""
    found = np.corrcoef(vectors.astype("float64"))
    return found[np.triu_indices(len(found), 1)] * np.sqrt(vectors.shape[1])


AXES = {"seed": 0, "step": 1, "layer": 2, "row": 3, "head": 4, "query": 5, "key": 6}


@pytest.mark.parametrize("kept_axes", ["seed", "step", "layer", "row", "head", "query", "key", "row head", "query key"])
def test_the_rate_holds_along_every_axis(masks, kept_axes):
    kept = {AXES[name] for name in kept_axes.split()}
    others = tuple(axis for axis in range(masks.ndim) if axis not in kept)
    count = np.prod([masks.shape[axis] for axis in others])
    _assert_standard_normal((masks.mean(others) - (1 - RATE)) / np.sqrt(RATE * (1 - RATE) / count))


@pytest.mark.parametrize("axis", AXES)
def test_nothing_along_an_axis_is_correlated(masks, axis):
    # For each seed, or step, or layer ..., all other elements in the same order.
    moved = np.moveaxis(masks, AXES[axis], 0)
    _assert_standard_normal(_correlations(moved.reshape(len(moved), -1)))


@pytest.mark.parametrize("lag", [1, 2, 3, 16, LENGTH, LENGTH + 1, 256, LENGTH**2, 2 * LENGTH**2])
def test_neighbours_in_a_row_are_not_correlated(masks, lag):
    rows = masks.reshape(-1, HEADS * LENGTH**2).astype("float64") - (1 - RATE)
    products = np.mean(rows[:, lag:] * rows[:, :-lag], axis=1) / (RATE * (1 - RATE))
    _assert_standard_normal(products * np.sqrt(rows.shape[1] - lag))


@pytest.mark.parametrize("distance", [1, 2, 5, 0x9E3779B9, 3 * 0x9E3779B9 % 2**32, 1 << 16])
def test_rows_of_close_seeds_are_no_shifted_copies(distance):
    # A generator that only adds the seed to its counter gives row 0's bits again in row 1, `distance` places further.
    size = 4096
    first = np.arange(64, dtype=np.uint64) * 7919 * 64
    one, other = (
        np.asarray(random_bits((64, size), tf.constant(seeds.astype(np.uint32))))
        for seeds in (first, (first + distance) % 2**32)
    )
    for shift in range(6):
        assert np.mean(one[:, shift:] == other[:, : size - shift]) < 1e-4
    spectra = [np.fft.rfft(_kept(bits) - (1 - RATE), 2 * size) for bits in (one, other)]
    products = np.fft.irfft(spectra[0] * np.conj(spectra[1]))[:, : size // 2].sum(0)  # the lags 0 to 2,047
    count = 64 * (size - np.arange(size // 2))
    _assert_standard_normal(products / (RATE * (1 - RATE) * np.sqrt(count)))


def test_bits_are_uniform():
    bits = np.asarray(random_bits((64, 4096), _seeds(3, 5, 2, rows=64)))
    assert bits.dtype == np.uint32
    for shift in (0, 8, 16, 24):
        buckets = np.bincount(np.ravel(bits >> np.uint32(shift) & np.uint32(255)), minlength=256)
        expected = bits.size / 256
        # Chi-squared with 255 degrees of freedom.
        assert abs(np.sum((buckets - expected) ** 2) / expected - 255) < 5 * np.sqrt(2 * 255)
    ones = np.array([np.mean(bits >> np.uint32(bit) & np.uint32(1)) for bit in range(32)])
    _assert_standard_normal((ones - 0.5) * 2 * np.sqrt(bits.size))
    planes = np.stack([np.ravel(bits >> np.uint32(bit) & np.uint32(1)) for bit in range(32)])
    _assert_standard_normal(_correlations(planes))


def test_seeds_of_rows_steps_and_layers_are_distinct():
    seeds = np.array([[_seeds(seed, step, layer, 64) for step in range(20) for layer in range(5)] for seed in (0, 1)])
    # Distinct within a step and layer by construction, elsewhere but for chance: 12,800 of 2**32.
    assert all(len(set(seeds_of_rows)) == 64 for seeds_of_rows in seeds.reshape(-1, 64))
    assert len(np.unique(seeds)) == seeds.size
    assert fold_in(3, 4) == fold_in(tf.constant(3), tf.constant(4, tf.int64))


@pytest.mark.parametrize("shape", [(5,), (4, 4), (4, 4, 4), (4, 4, 4, 4), (3, 1, 3, 1), (2, 0, 3)])
def test_each_element_has_its_counter_and_its_row_seed(shape):
    # Equal sizes of axes as well: what adds along the wrong axis keeps their shapes.
    seeds = row_seeds(7, shape[0])
    size = int(np.prod(shape[1:]))
    expected = [_bits(counter, int(seed)) for seed in seeds for counter in range(size)]
    assert np.array_equal(random_bits(shape, seeds), np.reshape(np.array(expected, np.uint32), shape))


def test_a_row_draws_the_same_bits_wherever_it_is_computed():
    shape, seeds = (8, 3, 6), row_seeds(7, 8)
    whole = np.asarray(random_bits(shape, seeds))
    parts = [np.asarray(random_bits((2, *shape[1:]), part)) for part in tf.split(seeds, 4)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(whole[5:6], random_bits((1, *shape[1:]), seeds[5:6]))

    # Shapes that the graph does not know.
    compiled = tf.function(
        lambda x, seeds: random_bits(tf.unstack(tf.shape(x)), seeds),
        input_signature=[tf.TensorSpec([None, None, None]), tf.TensorSpec([None], tf.uint32)],
    )
    assert np.array_equal(compiled(tf.zeros(shape), seeds), whole)


def test_seeds_must_be_one_for_each_row():
    assert row_seeds(tf.constant([5, 6]), 2).dtype == tf.uint32
    for wrong in (tf.constant([5]), tf.constant([5, 6, 7]), tf.constant([[5, 6]])):
        with pytest.raises(ValueError, match=r"`seed` must be a scalar or hold one seed for each of the 2 rows"):
            row_seeds(wrong, 2)


def _mixed(value):
    """The finalizer, by Python's integers."""
    value = (value ^ value >> 16) * 0x7FEB352D % 2**32
    value = (value ^ value >> 15) * 0x846CA68B % 2**32
    return value ^ value >> 16


def _bits(counter, seed):
    """The bits of an element by Python's integers."""
    value = (counter + seed) % 2**32
    value = (value ^ value >> 16) * 0x7FEB352D % 2**32 ^ (seed * 0x9E3779B9 + 1) % 2**32
    value = (value ^ value >> 15) * 0x846CA68B % 2**32
    return value ^ value >> 16


def test_the_arithmetic_is_that_of_integers():
    assert int(fold_in(123, 456)) == _mixed(_mixed((456 * 0x9E3779B9 + 1) % 2**32) ^ 123)
    # 512 rows of 16 heads x 512 x 512 are 2**31 elements, one more than an int32 counts. The counter is within a row.
    seeds = row_seeds(9, 512)
    for row, head, query, key in [(0, 0, 0, 0), (511, 15, 511, 511), (200, 3, 77, 130)]:
        found = bits_at([head, query, key], (16, 512, 512), seeds[row])
        assert int(found) == _bits((head * 512 + query) * 512 + key, int(seeds[row]))


@pytest.mark.parametrize("row", [(16, 8192, 8192), (16, 16384, 16384), (65535, 32768)])
def test_rows_larger_than_an_int32_counts_have_bits_of_their_own(row):
    # The first elements, those around 2**31 and 2**32 where the row reaches so far, and the last.
    size = int(np.prod([int(length) for length in row]))
    counters = [0, 1, 2**30, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 2, 2**32 - 1, size - 2, size - 1]
    counters = sorted({counter for counter in counters if counter < size})
    places = [axis.astype(np.int32) for axis in np.unravel_index(counters, row)]
    found = np.asarray(bits_at(places, row, tf.constant(77, tf.uint32)))
    assert found.tolist() == [_bits(counter, 77) for counter in counters]
    assert len(set(found.tolist())) == len(counters)
