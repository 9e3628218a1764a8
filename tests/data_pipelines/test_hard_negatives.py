"""Hard negatives are drawn from a search, and never answer the query."""

import pytest

from data_pipelines.hard_negatives import Found, MiningOptions, mined

PASSAGES = [f"passage {number}" for number in range(20)]
SCORES = [1.0 - number / 20 for number in range(20)]
POSITIVES = ["passage 2", "passage 11"]


def _mine(positives=POSITIVES, query="who?", **options):
    [rows] = mined([Found(query, positives, PASSAGES, SCORES)], MiningOptions(**options))
    return rows


def _numbers(rows):
    return [int(text.split()[1]) for text in rows[0]["negatives"]]


def test_each_right_passage_has_a_row_with_the_first_others():
    rows = _mine(num_negatives=4)
    assert [row["passage"] for row in rows] == POSITIVES
    assert all(row["query"] == "who?" and row["negatives"] == rows[0]["negatives"] for row in rows)
    assert _numbers(rows) == [0, 1, 3, 4], "the right passage of rank 3 is left out"


def test_windows_margins_and_scores():
    assert _numbers(_mine(first_rank=11, last_rank=14)) == [10, 12, 13]
    assert _numbers(_mine(max_score=0.31)) == [14, 15, 16, 17, 18, 19]
    assert _numbers(_mine(margin=0.24)) == [16, 17, 18, 19], "below the worst right passage, whose score is 0.45"
    assert _numbers(_mine(positives=["passage 99"], margin=0.1)) == [], "nothing is known of the right passage's score"
    assert _numbers(_mine(positives=["passage 99"], num_negatives=2)) == [0, 1]


def test_random_samples_follow_from_the_query_and_the_seed():
    first = _numbers(_mine(sampling="random", num_negatives=5, seed=1))
    assert first == _numbers(_mine(sampling="random", num_negatives=5, seed=1))
    assert first == sorted(set(first))
    others = [
        _numbers(_mine(sampling="random", num_negatives=5, seed=2)),
        _numbers(_mine(sampling="random", num_negatives=5, seed=1, query="where?")),
    ]
    assert all(other != first for other in others)


def test_a_copy_of_a_right_passage_is_no_negative():
    found = Found("who?", ["The  Miller"], ["the miller", "The Miller", "a boat", "A boat"], [0.9, 0.8, 0.7, 0.6])
    [rows] = mined([found], MiningOptions())
    assert rows == [{"query": "who?", "passage": "The  Miller", "negatives": ["a boat"]}]


@pytest.mark.parametrize("sampling", ["top", "random"])
def test_no_option_makes_a_right_passage_a_negative(sampling):
    for first in (1, 3, 12):
        for seed in range(5):
            numbers = _numbers(_mine(sampling=sampling, first_rank=first, num_negatives=9, seed=seed))
            assert not {2, 11} & set(numbers)
            assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first_rank": 0}, r"`first_rank` must be at least 1\. Received: 0"),
        ({"num_negatives": 0}, r"`num_negatives` must be at least 1\. Received: 0"),
        ({"first_rank": 5, "last_rank": 4}, r"`last_rank` must be at least `first_rank`, 5\. Received: 4"),
        ({"sampling": "all"}, r"`sampling` must be top or random\. Received: 'all'"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        MiningOptions(**options)
