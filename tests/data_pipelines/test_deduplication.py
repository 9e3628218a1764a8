from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.deduplication import NearDuplicateFilter, fingerprints, normalized_words

TEXT = "The quick brown fox jumps over the lazy dog and runs into the dark forest before night."


def test_case_digits_and_punctuation_do_not_count():
    assert normalized_words("The 2nd `foo_bar`, ÉTÉ!") == ["the", "nd", "foo", "bar", "été"]
    assert fingerprints(TEXT) == fingerprints(TEXT.upper().replace(" ", " 7, "))


def test_fingerprints_are_the_same_in_every_process():
    # By value (CRC-32 of the words): a hash that differed between workers would let duplicates pass.
    assert list(fingerprints("Adds two numbers.")) == [4087233143]


def test_mostly_known_text_is_refused_and_half_new_text_is_not():
    duplicates = NearDuplicateFilter(max_overlap=0.5)
    words = TEXT.split()
    assert duplicates.admit(TEXT)
    assert not duplicates.admit(TEXT)
    assert not duplicates.admit(" ".join(words[2:]))
    assert duplicates.admit(" ".join(words[:8]) + " where nobody had ever thought of looking for it before")


def test_short_texts_are_compared_as_a_whole():
    duplicates = NearDuplicateFilter()
    assert duplicates.admit("The learning rate.")
    assert not duplicates.admit("the Learning rate")
    assert duplicates.admit("The learning rates.")


def test_refused_text_leaves_no_trace():
    duplicates = NearDuplicateFilter(max_overlap=0.2)
    words = TEXT.split()
    tail = "where seven wise owls were waiting for somebody with a lamp"
    assert duplicates.admit(TEXT)
    assert not duplicates.admit(" ".join([*words, tail]))
    assert duplicates.admit(tail)


@given(st.lists(st.text(max_size=40), max_size=8))
def test_a_text_is_never_admitted_twice(texts):
    duplicates = NearDuplicateFilter()
    for text in texts:
        duplicates.admit(text)
        assert not duplicates.admit(text)
