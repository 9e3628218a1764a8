from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.corpora.deduplication import (
    ExactDuplicateFilter,
    NearDuplicateFilter,
    fingerprints,
    normalized_words,
)

TEXT = "The quick brown fox jumps over the lazy dog and runs into the dark forest before night."


def test_case_digits_and_punctuation_do_not_count():
    assert normalized_words("The 2nd `foo_bar`, ÉTÉ!") == ["the", "nd", "foo", "bar", "été"]
    assert fingerprints(TEXT) == fingerprints(TEXT.upper().replace(" ", " 7, "))


def test_fingerprints_are_the_same_in_every_process():
    # The value is CRC-32 of the words: a hash that differed between workers would admit duplicates.
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


def test_the_runs_of_refused_texts_are_not_remembered():
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


def test_only_equal_documents_are_refused():
    duplicates = ExactDuplicateFilter()
    documents = [[f"Sentence {number}.", "Last."] for number in range(30_000)]
    assert all(map(duplicates.admit, documents))
    assert duplicates.num_bytes() <= 16 * len(documents)
    assert not any(map(duplicates.admit, documents))
    assert duplicates.admit(["Last.", "Sentence 1."])
    assert duplicates.admit(["Sentence 1. Last."])
    assert duplicates.admit(["half a character \ud800"])


@given(st.lists(st.lists(st.sampled_from(["a", "b", "ab", ""]), max_size=3), max_size=30))
def test_every_different_document_is_admitted_once(documents):
    admitted = list(filter(ExactDuplicateFilter().admit, documents))
    joined = ["\n".join(document) for document in documents]
    assert ["\n".join(document) for document in admitted] == list(dict.fromkeys(joined))
