"""The choice of tokens by hand: rules, beams and samples."""

import numpy as np
import pytest
from keras import ops

from bert_tf.configs.decoding import DecodingOptions
from bert_tf.models import decoding


def _banned(tokens, size, length=8):
    """Return the tokens that may not follow `tokens`, of those from 1 to 9."""
    padded = np.zeros((1, 1, length), np.int32)
    padded[0, 0, : len(tokens)] = tokens
    number = ops.convert_to_tensor(len(tokens), "int32")
    found = decoding.permitted(ops.zeros((1, 1, 10)), np.arange(10) > 0, ops.convert_to_tensor(padded), number, size)
    return set(np.flatnonzero(np.isneginf(np.asarray(found)[0, 0]))) - {0}


def test_ngrams_are_found_in_the_tokens_so_far():
    assert _banned([1, 2, 3, 1, 2], 3) == {3}
    assert _banned([1, 2, 1, 3, 1], 2) == {2, 3}
    assert _banned([1, 2, 3], 1) == {1, 2, 3}
    assert _banned([1], 2) == _banned([], 1) == _banned([1, 1, 1], 0) == _banned([1, 1], 4, length=3) == set()
    assert _banned([1, 1, 1, 1], 3, length=4) == {1}


def test_beams_go_on_as_the_formula_says():
    logits = np.log(np.array([[[0.5, 0.3, 0.2], [0.6, 0.1, 0.3]]], np.float32))
    masked = np.where([[[True] * 3, [False, True, True]]], logits, -np.inf).astype(np.float32)
    totals = np.log(np.array([[0.4, 0.6]], np.float32))
    # Logits are no log-probabilities: those of all tokens are normalised, forbidden ones too.
    best, parents, tokens = map(np.asarray, decoding.best_continuations(totals, logits + 3.0, masked + 3.0))
    assert list(zip(parents[0], tokens[0], strict=True)) == [(0, 0), (1, 2), (0, 1), (0, 2)]
    np.testing.assert_allclose(np.exp(best[0]), [0.2, 0.18, 0.12, 0.08], rtol=1e-5)
    assert decoding.normalized_scores(-6.0, 7, 1.0) == -3.0


@pytest.mark.parametrize("size", [7, 64, 130, 1024])
def test_the_largest_values_are_those_of_a_sort(size):
    values = np.random.default_rng(size).permuted(np.tile(np.arange(size, dtype=np.float32), (3, 2, 1)), axis=-1)
    for count in (1, 2, 7):
        found, indices = map(np.asarray, decoding.largest(values, count))
        expected = np.argsort(-values, axis=-1, kind="stable")[..., :count]
        np.testing.assert_array_equal(indices, expected)
        np.testing.assert_array_equal(found, np.take_along_axis(values, expected, axis=-1))


def test_equal_continuations_come_in_their_order():
    equal = np.zeros((1, 2, 5), np.float32)
    _, parents, tokens = map(np.asarray, decoding.best_continuations(np.zeros((1, 2), np.float32), equal, equal))
    assert list(zip(parents[0], tokens[0], strict=True)) == [(0, 0), (0, 1), (0, 2), (0, 3)]


@pytest.mark.parametrize(
    ("options", "expected", "tolerance"),
    [
        ({}, np.array([0.5, 0.3, 0.15, 0]) / 0.95, 0.03),
        ({"top_k": 2}, [0.625, 0.375, 0, 0], 0.03),
        ({"top_p": 0.6}, [0.625, 0.375, 0, 0], 0.03),
        ({"top_p": 0.5}, [1, 0, 0, 0], 0.0),
        ({"top_k": 3, "top_p": 1.0}, np.array([0.5, 0.3, 0.15, 0]) / 0.95, 0.03),
        ({"temperature": 0.5}, np.array([0.25, 0.09, 0.0225, 0]) / 0.3625, 0.03),
    ],
)
def test_samples_have_the_distribution_of_the_options(options, expected, tolerance):
    logits = np.log(np.array([0.5, 0.3, 0.15, 1e-9], np.float32))
    logits[3] = -np.inf
    seeds = decoding.text_seeds(np.arange(4000, dtype=np.int32), np.ones((4000, 2), np.int32), np.ones((4000, 2)))
    uniform = decoding.uniform_numbers(seeds, 1, 3)[:, 0]
    options = DecodingOptions(max_length=1, beams=1, sampled=True, **options)
    drawn = np.asarray(decoding.drawn_tokens(ops.broadcast_to(logits, (4000, 4)), options, uniform))
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 4000, expected, atol=tolerance)


def test_random_numbers_depend_on_seed_text_sample_and_step_alone():
    ids, mask = np.array([[5, 6, 7], [5, 6, 8], [5, 6, 7]], np.int32), np.array([[1, 1, 0]] * 2 + [[1, 1, 1]])
    seeds = np.asarray(decoding.text_seeds(np.array([1, 1, 1], np.int32), ids, mask))
    assert seeds[0] == seeds[1] != seeds[2]  # padding has no part in it
    assert np.asarray(decoding.text_seeds(np.array([2], np.int32), ids[:1], mask[:1]))[0] != seeds[0]
    numbers = np.asarray([decoding.uniform_numbers(seeds[1:], 3, step) for step in range(4)])  # [4, 2, 3]
    assert len(set(numbers.ravel().tolist())) == numbers.size
    assert ((numbers >= 0) & (numbers < 1)).all()
