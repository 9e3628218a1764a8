from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_tf.features import NO_NEXT_SENTENCE_LABEL
from data_pipelines.records.pairs import (
    IS_NEXT,
    IS_RANDOM,
    IS_SWAPPED,
    SegmentPair,
    _cuts,
    cut_long_sentences,
    full_sentences,
    next_sentence_pairs,
    sentence_order_pairs,
    shuffled,
    tokenize_documents,
    used_tokens,
)


def corpus_of(sentence_lengths: list[list[int]]):
    """Documents of sentences of these lengths; each token is its own number, so that a span tells its place."""
    next_token = iter(range(10**9))
    documents = [[" ".join(str(next(next_token)) for _ in range(n)) for n in document] for document in sentence_lengths]

    def encode(sentences):
        words = [sentence.split() for sentence in sentences]
        return np.array([int(word) for line in words for word in line], np.int32), np.array(list(map(len, words)), int)

    return tokenize_documents(documents, encode)


def random_corpus(documents: int = 200, seed: int = 0):
    generator = Random(seed)
    return corpus_of(
        [[1 + int(generator.expovariate(1 / 15)) for _ in range(generator.randint(1, 20))] for _ in range(documents)]
    )


def document_of(corpus, token: int) -> int:
    for number, (first, last) in enumerate(corpus.documents):
        if corpus.sentence_bounds[first] <= token < corpus.sentence_bounds[last]:
            return number
    raise AssertionError(token)


def test_sentences_and_documents_without_a_token_are_left_out():
    corpus = corpus_of([[2, 0, 1], [0], [], [3]])
    assert corpus.documents == [(0, 2), (2, 3)]
    assert corpus.sentence_bounds == [0, 2, 3, 6]
    assert corpus.num_sentences == 3
    np.testing.assert_array_equal(corpus.tokens, np.arange(6))


def test_an_empty_corpus_gives_nothing():
    corpus = corpus_of([])
    assert list(next_sentence_pairs(corpus, 32, short_seq_prob=0.1, generator=Random(0))) == []
    assert list(full_sentences(corpus, 32, short_seq_prob=0.1, generator=Random(0))) == []


def test_pairs_fit_and_both_segments_have_text():
    pairs = list(next_sentence_pairs(random_corpus(), 64, short_seq_prob=0.1, generator=Random(1)))
    assert max(pair.num_tokens for pair in pairs) == 64
    assert min(min(pair.first_length, pair.second_length) for pair in pairs) >= 1


def test_label_0_follows_and_label_1_is_of_another_document():
    corpus = random_corpus()
    pairs = list(next_sentence_pairs(corpus, 64, short_seq_prob=0.1, generator=Random(2)))
    assert {pair.label for pair in pairs} == {IS_NEXT, IS_RANDOM}
    for pair in pairs:
        same = document_of(corpus, pair.first_start) == document_of(corpus, pair.second_start)
        assert same == (pair.label == IS_NEXT)
        if pair.label == IS_NEXT:
            gap = pair.second_start - (pair.first_start + pair.first_length)
            assert gap >= 0  # truncation may cut the end of A and the beginning of B, and nothing else
            if pair.num_tokens < 64:
                assert gap == 0


def test_two_documents_never_pair_with_themselves():
    corpus = corpus_of([[3] * 40, [3] * 40])
    for pair in next_sentence_pairs(corpus, 16, short_seq_prob=0.0, generator=Random(3)):
        if pair.label == IS_RANDOM:
            assert document_of(corpus, pair.first_start) != document_of(corpus, pair.second_start)


def test_sentences_that_a_random_second_segment_displaced_are_used_again():
    # No segment A is truncated here, so that together with the true Bs they hold every sentence exactly once.
    corpus = corpus_of([[2] * 30, [2] * 30, [2] * 30])
    used = []
    for pair in next_sentence_pairs(corpus, 40, short_seq_prob=0.0, generator=Random(4)):
        used += range(pair.first_start, pair.first_start + pair.first_length)
        if pair.label == IS_NEXT:
            used += range(pair.second_start, pair.second_start + pair.second_length)
    assert len(used) == len(set(used))
    # What is lost is only the truncated surplus over the target.
    assert len(used) >= 0.8 * len(corpus.tokens)


def test_segments_follow_each_other_or_are_swapped():
    corpus = cut_long_sentences(random_corpus(), 61)
    pairs = list(sentence_order_pairs(corpus, 64, short_seq_prob=0.1, generator=Random(2)))
    assert max(pair.num_tokens for pair in pairs) == 64
    labels = [pair.label for pair in pairs if pair.second_length]
    assert 0.4 < np.mean(labels) < 0.6
    for pair in pairs:
        first, second = (pair.first_start, pair.first_length), (pair.second_start, pair.second_length)
        if not pair.second_length:
            assert pair.label == NO_NEXT_SENTENCE_LABEL
            assert first[0] in corpus.sentence_bounds
            assert first[0] + first[1] in corpus.sentence_bounds, "a sentence alone is whole"
            continue
        (start, length), (next_start, _) = (second, first) if pair.label == IS_SWAPPED else (first, second)
        assert document_of(corpus, start) == document_of(corpus, next_start)
        gap = next_start - (start + length)
        assert gap >= 0  # truncation cuts either segment at its ends
        if pair.num_tokens < 64:
            assert gap == 0


def test_swapping_loses_no_token():
    corpus = corpus_of([[3, 4, 5, 6], [7], [2, 2]])
    pairs = list(sentence_order_pairs(corpus, 64, short_seq_prob=0.0, generator=Random(5)))
    assert used_tokens(corpus, pairs).all()
    assert sorted(pair.first_length + pair.second_length for pair in pairs) == [4, 7, 18]


def test_only_sentences_that_are_longer_than_a_row_are_cut():
    corpus = corpus_of([[4, 25, 9], [9], [30]])
    cut = cut_long_sentences(corpus, 9)
    # Two parts that follow each other fill a row.
    assert cut.sentence_bounds == [0, 4, 9, 13, 18, 22, 27, 29, 38, 47, 52, 56, 61, 65, 70, 74, 77]
    assert cut.documents == [(0, 8), (8, 9), (9, 16)]
    assert cut_long_sentences(corpus, 30) is corpus


@pytest.mark.parametrize("make", [next_sentence_pairs, sentence_order_pairs, full_sentences])
def test_long_sentences_lose_no_token(make):
    corpus = corpus_of([[800], [30, 900, 12], [5000]])
    sequences = list(make(corpus, 128, short_seq_prob=0.0, generator=Random(3)))
    assert used_tokens(corpus, sequences).mean() > 0.99
    assert np.mean([sequence.num_tokens for sequence in sequences]) > 110


def test_used_tokens_are_those_of_any_span():
    corpus = corpus_of([[6], [4]])
    sequences = [SegmentPair(1, 2, 6, 1, IS_RANDOM), SegmentPair(2, 2, 0, 0, NO_NEXT_SENTENCE_LABEL)]
    assert np.flatnonzero(used_tokens(corpus, sequences)).tolist() == [1, 2, 3, 6]
    assert not used_tokens(corpus, []).any()


def test_single_sentence_documents_always_take_a_random_second_segment():
    pairs = list(next_sentence_pairs(corpus_of([[5]] * 50), 32, short_seq_prob=0.1, generator=Random(5)))
    assert len(pairs) == 50
    assert {pair.label for pair in pairs} == {IS_RANDOM}


def test_random_share_of_long_documents_is_one_half():
    corpus = corpus_of([[5] * 400] * 60)
    labels = [pair.label for pair in next_sentence_pairs(corpus, 64, short_seq_prob=0.0, generator=Random(6))]
    share = np.mean(labels)
    # The last chunk of a document may hold one sentence, which adds a little.
    assert abs(share - 0.5) < 4 * 0.5 / len(labels) ** 0.5 + 0.02


def test_short_sequences_are_a_share_of_documents():
    corpus = corpus_of([[4] * 50] * 400)
    full = list(next_sentence_pairs(corpus, 128, short_seq_prob=0.0, generator=Random(7)))
    some = list(next_sentence_pairs(corpus, 128, short_seq_prob=0.5, generator=Random(7)))
    every = list(next_sentence_pairs(corpus, 128, short_seq_prob=1.0, generator=Random(7)))
    means = [np.mean([pair.num_tokens for pair in pairs]) for pairs in (full, some, every)]
    assert means[0] > means[1] > means[2]


def test_a_single_document_is_refused():
    with pytest.raises(ValueError, match=r"at least two documents.*Received: 1"):
        list(next_sentence_pairs(corpus_of([[4] * 50]), 32, short_seq_prob=0.1, generator=Random(0)))


def slow_truncation(first: int, second: int, longest: int) -> tuple[int, int]:
    """google-research/bert `truncate_seq_pair`: one token at a time off the longer segment, B at a tie."""
    cuts = [0, 0]
    while first - cuts[0] + second - cuts[1] > longest:
        cuts[0 if first - cuts[0] > second - cuts[1] else 1] += 1
    return cuts[0], cuts[1]


@settings(deadline=None)
@given(st.integers(1, 80), st.integers(1, 80), st.integers(2, 100))
def test_truncation_equals_the_piecewise_rule(first, second, longest):
    if first + second > longest:
        assert _cuts(first, second, longest) == slow_truncation(first, second, longest)


def test_truncation_takes_from_both_ends_evenly():
    corpus = corpus_of([[90]] * 1000)  # every pair is truncated, and each segment is one whole document
    front, cut = 0, 0
    for pair in next_sentence_pairs(corpus, 103, short_seq_prob=0.0, generator=Random(8)):
        front += pair.first_start % 90
        cut += 90 - pair.first_length
    assert abs(front / cut - 0.5) < 4 * 0.5 / cut**0.5


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=8), min_size=2, max_size=6), st.integers(5, 40))
def test_pairs_of_any_documents_fit(sentence_lengths, max_seq_length):
    for pair in next_sentence_pairs(
        corpus_of(sentence_lengths), max_seq_length, short_seq_prob=0.3, generator=Random(9)
    ):
        assert 5 <= pair.num_tokens <= max_seq_length


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=8), min_size=1, max_size=6), st.integers(3, 40))
def test_full_sentences_hold_every_token_once(sentence_lengths, max_seq_length):
    corpus = corpus_of(sentence_lengths)
    sequences = list(full_sentences(corpus, max_seq_length, short_seq_prob=0.3, generator=Random(10)))
    used = [p for s in sequences for p in range(s.first_start, s.first_start + s.first_length)]
    assert sorted(used) == list(range(len(corpus.tokens)))
    assert max(sequence.num_tokens for sequence in sequences) <= max_seq_length
    assert {sequence.label for sequence in sequences} == {NO_NEXT_SENTENCE_LABEL}
    assert {sequence.second_length for sequence in sequences} == {0}


def test_random_numbers_depend_on_the_seed_alone():
    corpus = random_corpus()
    first, again, other = (
        list(next_sentence_pairs(corpus, 64, short_seq_prob=0.1, generator=Random(seed)))
        for seed in ("a/1", "a/1", "a/2")
    )
    assert first == again
    assert first != other
    # The same on every Python and machine, or shards made on two of them would not match.
    assert shuffled(range(6), Random("0/shard 0/pass 0")) == [2, 1, 0, 4, 3, 5]


def test_number_of_tokens():
    assert SegmentPair(0, 4, 9, 3, IS_NEXT).num_tokens == 10
    assert SegmentPair(0, 4, 0, 0, NO_NEXT_SENTENCE_LABEL).num_tokens == 6
