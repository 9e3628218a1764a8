from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.records.packing import pack_rows


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), max_size=200), st.integers(50, 80), st.integers(1, 9), st.integers(1, 10))
def test_every_sequence_is_in_one_row_and_rows_fit(lengths, max_seq_length, max_sequences, open_rows):
    rows = list(pack_rows(lengths, max_seq_length, max_sequences=max_sequences, open_rows=open_rows))
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert all(sum(lengths[number] for number in row) <= max_seq_length for row in rows)
    assert all(1 <= len(row) <= max_sequences for row in rows)
    assert rows == list(pack_rows(lengths, max_seq_length, max_sequences=max_sequences, open_rows=open_rows))


def test_a_sequence_goes_where_it_fits_best():
    # Two rows stand open, with 5 and 4 places; the first that fits would be the other one.
    assert list(pack_rows([5, 6, 4, 5], 10, max_sequences=8)) == [[1, 2], [0, 3]]


def test_the_fullest_row_is_closed_when_too_many_are_open():
    assert next(pack_rows([6, 5, 7], 10, max_sequences=8, open_rows=2)) == [2]


def test_rows_are_nearly_full():
    generator = Random(0)
    lengths = [min(512, 20 + int(generator.expovariate(1 / 200))) for _ in range(20_000)]
    rows = list(pack_rows(lengths, 512))
    assert sum(lengths) / (512 * len(rows)) > 0.97


@pytest.mark.parametrize("length", [0, 11])
def test_lengths_that_no_row_holds_are_refused(length):
    with pytest.raises(ValueError, match=rf"1 to 10 tokens\. Received: {length} \(number 1\)"):
        list(pack_rows([3, length], 10))
