import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_corpus import corpus_documents

from data_pipelines.corpora import near_duplicates
from data_pipelines.corpora.deduplication import RUN_LENGTH, NearDuplicateFilter
from data_pipelines.corpora.mixtures import mixed_documents, without_duplicates
from data_pipelines.corpora.near_duplicates import SKETCH_SIZE, NearDuplicateDocumentFilter, RunSet, sketches


def _document(seed: int, count: int = 200) -> list[str]:
    """Return sentences of ten random words each."""
    generator = random.Random(seed)
    words = ["".join(generator.choices("abcdefghij", k=6)) for _ in range(count)]
    return [" ".join(words[start : start + 10]) for start in range(0, count, 10)]


def _changed(document: list[str], every: int) -> list[str]:
    """Return the document with every n-th word replaced by one that occurs nowhere else."""
    words = " ".join(document).split()
    words[::every] = [f"{word}z" for word in words[::every]]
    return [" ".join(words)]


def _new(*documents: list[str]) -> list[bool]:
    return [new for _, new in NearDuplicateDocumentFilter().judged(documents)]


def test_case_digits_punctuation_and_the_ends_of_sentences_do_not_count():
    document = _document(1)
    again = [f"{number}. {sentence.upper()}!" for number, sentence in enumerate(document)]
    assert _new(document, again, [" ".join(document)]) == [True, False, False]


def test_few_changed_words_leave_a_duplicate_and_many_do_not():
    document = _document(1, 600)
    assert _new(document, _changed(document, every=40)) == [True, False]
    assert _new(document, _changed(document, every=6)) == [True, True]


def test_a_document_of_parts_of_earlier_ones_is_a_duplicate():
    first, second = _document(1), _document(2)
    assert _new(first, second, first[:15] + second[:15]) == [True, True, False]
    assert _new(first, second, first[:4] + _document(3)[:16]) == [True, True, True]


def test_what_a_refused_document_adds_is_not_remembered():
    first, tail = _document(1), _document(2, 60)
    assert _new(first, first + tail, tail) == [True, False, True]


def test_short_documents_are_compared_as_a_whole_and_those_without_words_by_their_characters():
    assert _new(["The end."], ["the END"], ["The ends."], ["12 34"], ["12 35"], ["12 34"]) == [
        True,
        False,
        True,
        True,
        True,
        False,
    ]


def test_ideographs_are_words():
    text = "他在图书馆里读了一本关于古代历史的书然后回家吃饭了"
    assert _new([text], [f"{text[:12]},{text[12:]}。"], [text[:8] + "天气很好我们去公园散步吧"]) == [True, False, True]


def test_sketches_are_the_same_on_every_machine_and_in_any_company():
    text = "Combining marks: cafe\u0301, and seven more words than that."
    (alone,) = sketches([text])
    assert alone.tolist() == [15739209182527031777, 17793017106391196896]
    others = ["x", "", text.upper(), "\ud800"]
    assert [list(sketch) for sketch in sketches([*others, text])][-1] == alone.tolist()
    assert sketches([text.upper()])[0].tolist() == alone.tolist()


def test_a_sketch_holds_the_runs_with_the_smallest_hashes():
    text = " ".join(_document(4))
    everything = [int(sketches([" ".join(text.split()[start : start + RUN_LENGTH])])[0][0]) for start in range(193)]
    assert sketches([text])[0].tolist() == sorted(everything)[:SKETCH_SIZE]


@pytest.mark.parametrize("num_workers", [2, 3])
def test_processes_do_not_change_the_answers(monkeypatch, num_workers):
    monkeypatch.setattr(near_duplicates, "_GROUP_CHARACTERS", 2000)
    documents = [_document(number % 23) for number in range(60)]
    one = list(NearDuplicateDocumentFilter().judged(documents))
    assert sum(new for _, new in one) == 23
    assert list(NearDuplicateDocumentFilter(num_workers=num_workers).judged(documents)) == one


def test_groups_do_not_change_the_answers(monkeypatch):
    documents = [_document(number % 7, 50 + number) for number in range(40)]
    whole = list(NearDuplicateDocumentFilter().judged(documents))
    monkeypatch.setattr(near_duplicates, "_GROUP_CHARACTERS", 1)
    assert list(NearDuplicateDocumentFilter().judged(documents)) == whole


@given(st.lists(st.lists(st.text(max_size=40), max_size=4), max_size=12))
def test_a_document_is_never_admitted_twice(documents):
    assert not any(_new(*documents, *documents)[len(documents) :])


def test_answers_are_those_of_all_runs_where_sketches_hold_all_runs():
    generator = random.Random(0)
    parts = [_document(number, 20) for number in range(6)]
    documents = [generator.choice(parts) + generator.choice(parts)[:1] for _ in range(40)]
    assert max(len(" ".join(document).split()) for document in documents) - RUN_LENGTH + 1 <= SKETCH_SIZE
    everything = NearDuplicateFilter()
    assert _new(*documents) == [everything.admit(" ".join(document)) for document in documents]


def test_a_set_of_runs_holds_what_was_added_and_little_else():
    generator = np.random.default_rng(0)
    values = generator.integers(0, 2**64, 200_000, dtype=np.uint64)
    known = RunSet()
    for part in np.split(values[:100_000], 20):
        known.add(part)
    known.add(values[:50_000])
    assert known.holds(values[:100_000]).all()
    assert known.holds(values[100_000:]).sum() < 5  # 36 bits are compared
    assert known.num_bytes() <= 7.6 * 100_000


def test_a_document_takes_at_most_240_bytes():
    duplicates = NearDuplicateDocumentFilter()
    documents = [_document(seed, 60) for seed in range(3000)]
    assert all(new for _, new in duplicates.judged(documents))
    assert duplicates.num_bytes() <= 240 * len(documents)


def test_only_the_start_of_a_long_document_is_described(monkeypatch):
    monkeypatch.setattr(near_duplicates, "MAX_CHARACTERS", 700)
    first, second, third = _document(1, 100), _document(2, 100), _document(3, 100)
    assert _new(first + second, first + third) == [True, False]


def test_near_duplicates_of_a_mixture_are_left_out_in_every_pass():
    first, second = _document(1), _document(2)
    readers = {"a": [first, _changed(first, 60)].__iter__, "b": [second, first].__iter__}
    arguments = {"deduplicate": "near", "report": lambda _: None}
    assert list(mixed_documents(readers, **arguments)) == [first, second]
    repeated = list(mixed_documents(readers, weights={"a": 1, "b": 3}, **arguments))
    assert second in repeated
    assert all(document in (first, second) for document in repeated)


def test_kinds_of_duplicates_are_checked():
    documents = corpus_documents(5)
    assert list(without_duplicates([*documents, *documents], "none")) == [*documents, *documents]
    with pytest.raises(ValueError, match=r"`deduplicate` must be one of none, exact, near\. Received: 'fuzzy'"):
        without_duplicates(documents, "fuzzy")
