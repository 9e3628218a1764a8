import numpy as np
import pytest

from bert_tf.scoring.rescoring import Candidates, Weights, best_weights, errors_of, num_errors

pytest.importorskip("jiwer", reason="make test installs jiwer beside the environment (tests/weights.txt)")


def random_lists(seed, count=40, size=8):
    """Lists whose errors follow neither score nor log-likelihood alone."""
    random = np.random.default_rng(seed)
    lists = []
    for _ in range(count):
        errors = random.integers(0, 9, size)
        scores = -50.0 * errors + 120.0 * random.standard_normal(size)
        likelihoods = -0.3 * errors + random.standard_normal(size)
        lengths = random.integers(5, 15, size)
        lists.append(Candidates(scores - 20.0 * lengths, likelihoods, lengths, errors))
    return lists


def test_errors_are_substitutions_deletions_and_insertions():
    errors, length = errors_of("the old miller", ["the old miller", "an old miller sang", "", "old the miller"])
    assert errors.tolist() == [0, 2, 3, 2]
    assert length == 3
    assert errors_of("ab c", ["abc", "ab c"], characters=True)[0].tolist() == [1, 0]
    errors, length = errors_of("", ["two words", ""])
    assert (errors.tolist(), length) == ([2, 0], 0)


def test_the_search_along_one_weight_finds_the_fewest_errors_of_all():
    for seed in range(5):
        lists = random_lists(seed)
        weights = best_weights(lists, length=20.0)
        assert weights.length == 20.0
        grid = [num_errors(lists, Weights(value, 20.0)) for value in np.linspace(0.0, 3000.0, 3001)]
        assert num_errors(lists, weights) <= min(grid)
        assert num_errors(lists, weights) < num_errors(lists, Weights(0.0, 20.0))


def test_the_weights_together_have_fewer_errors_than_one_alone():
    lists = random_lists(7)
    both, alone = best_weights(lists), best_weights(lists, length=0.0)
    assert alone.length == 0.0
    assert num_errors(lists, both) < num_errors(lists, alone) < num_errors(lists, Weights())
    assert both.likelihood >= 0.0


def test_a_weight_that_does_not_help_stays_zero():
    lists = [Candidates(np.array([0.0, -1.0]), np.array([-5.0, -1.0]), np.array([3, 3]), np.array([0, 2]))]
    assert best_weights(lists) == Weights(0.0, 0.0)
    equal = [Candidates(np.array([0.0, 0.0]), np.array([-1.0, -1.0]), np.array([3, 3]), np.array([1, 0]))]
    assert best_weights(equal) == Weights(0.0, 0.0)  # nothing tells the two apart: the first one wins


def test_weights_by_hand():
    # The second hypothesis wins from a weight of 2 on; the third, a wrong one, from 10 on.
    lists = [Candidates(np.array([0.0, -2.0, -12.0]), np.array([-3.0, -2.0, -1.0]), np.full(3, 4), np.array([1, 0, 5]))]
    weights = best_weights(lists, length=0.0)
    assert weights == Weights(6.0, 0.0)
    assert np.argmax(lists[0].totals(weights)) == 1
