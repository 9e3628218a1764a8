import collections

import pytest

from data_pipelines.corpora import mixtures
from data_pipelines.corpora.documents import is_held_out
from data_pipelines.corpora.mixtures import mixed_documents, mixture_shares


def _corpus(name, count):
    return [[f"{name} {number}.", f"{name} again {number}."] for number in range(count)]


CORPORA = {"large": _corpus("large", 900), "small": _corpus("small", 90), "tiny": _corpus("tiny", 10)}
READERS = {name: documents.__iter__ for name, documents in CORPORA.items()}


def _silent(_):
    pass


def _mix(**arguments):
    return list(mixed_documents(READERS, report=_silent, **arguments))


def _counts(documents):
    """Return how often each document was read, by corpus."""
    counts = collections.Counter(document[0] for document in documents)
    return {name: [counts[document[0]] for document in documents] for name, documents in CORPORA.items()}


def test_shares_of_a_temperature_are_powers_of_sizes():
    sentences = {"en": 10_000, "de": 1000, "sw": 10}
    natural = mixture_shares(sentences)
    assert natural == mixture_shares(sentences, temperature=1)
    assert natural["en"] == pytest.approx(10_000 / 11_010)
    smoothed = mixture_shares(sentences, temperature=1 / 0.7)  # multilingual BERT's exponent
    powers = {name: count**0.7 for name, count in sentences.items()}
    assert smoothed == pytest.approx({name: power / sum(powers.values()) for name, power in powers.items()})
    assert max(mixture_shares(sentences, temperature=1e9).values()) == pytest.approx(1 / 3)
    assert mixture_shares(sentences, weights={"en": 3, "de": 2, "sw": 5})["sw"] == 0.5


def test_small_corpora_are_repeated_and_large_ones_subsampled():
    lines = []
    documents = list(
        mixed_documents(READERS, weights={"large": 50, "small": 25, "tiny": 25}, seed=1, report=lines.append)
    )
    counts = _counts(documents)
    # 1,000 documents in all: 500 of 900 large ones, 250 of 90 small ones, 250 of 10 tiny ones.
    assert set(counts["large"]) == {0, 1}
    assert 440 < sum(counts["large"]) < 560
    assert set(counts["small"]) == {2, 3}
    assert 225 < sum(counts["small"]) < 265
    assert counts["tiny"] == [25] * 10
    assert lines == [
        "corpus large: 1,800 sentences, share 50.00%, read 0.556 times",
        "corpus small: 180 sentences, share 25.00%, read 2.778 times",
        "corpus tiny: 20 sentences, share 25.00%, read 25.000 times",
    ]


def test_the_mixture_depends_on_the_seed_alone():
    weights = {"large": 1.0, "small": 1.0, "tiny": 1.0}
    first = _mix(weights=weights, seed=3)
    assert _mix(weights=weights, seed=3) == first
    assert _mix(weights=weights, seed=4) != first


def test_corpora_are_read_one_after_the_other_in_every_pass():
    documents = _mix(temperature=1e9)
    names = [document[0].split()[0] for document in documents]
    runs = [name for index, name in enumerate(names) if index == 0 or names[index - 1] != name]
    assert runs == ["large", "small", "tiny", *["small", "tiny"] * 3, *["tiny"] * (len(runs) - 9)][: len(runs)]
    copies = [index for index, document in enumerate(documents) if document == CORPORA["tiny"][0]]
    assert len(copies) in (33, 34)
    assert len(documents[copies[0] : copies[1]]) > 10  # another corpus is between the copies


def test_a_temperature_of_one_reads_every_document_once():
    assert _mix(temperature=1.0) == [document for documents in CORPORA.values() for document in documents]
    assert _mix() == _mix(temperature=1.0)


def test_duplicates_are_left_out_within_and_between_corpora_in_every_pass():
    first, second, third = ["One."], ["Two."], ["Three.", "Four."]
    readers = {"a": [first, second, first].__iter__, "b": [second, third, third, first].__iter__}
    for arguments in ({}, {"temperature": 5.0}):  # both corpora have two sentences, so their shares are equal
        assert list(mixed_documents(readers, deduplicate="exact", report=_silent, **arguments)) == [
            first,
            second,
            third,
        ]
    repeated = mixed_documents(readers, deduplicate="exact", report=_silent, weights={"a": 1, "b": 7})
    assert [document for document in repeated if document not in (first, second)] in ([third], [third] * 2)
    exactly = mixed_documents(readers, deduplicate="exact", report=_silent, weights={"a": 1, "b": 1})
    assert list(exactly) == [first, second, third]


def test_held_out_documents_are_never_among_the_others():
    documents = _mix(temperature=3.0, seed=2)
    held_out = {tuple(document) for document in documents if is_held_out(document, 0.2)}
    trained = {tuple(document) for document in documents if not is_held_out(document, 0.2)}
    repeated = collections.Counter(map(tuple, documents))
    assert any(repeated[document] > 1 for document in held_out)
    assert any(repeated[document] > 1 for document in trained)
    assert not held_out & trained


def test_subsampling_is_independent_of_the_held_out_documents():
    # With related hashes a subsampled corpus would hold only documents that are held out, or none.
    kept = [document for document in _mix(weights={"large": 1, "small": 5, "tiny": 5}) if "large" in document[0]]
    held_out = sum(is_held_out(document, 0.5) for document in kept)
    assert 0.3 < held_out / len(kept) < 0.7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": {"large": 1}}, r"`weights` must give each corpus \(large, small, tiny\)"),
        ({"weights": {"large": 1, "small": 1, "tiny": 0}}, "above 0"),
        ({"weights": {"large": 1, "small": 1, "tiny": float("inf")}}, "above 0"),
        ({"weights": {"large": 1, "small": 1, "tiny": 1, "other": 1}}, "other=1"),
        ({"temperature": 0.5}, "`temperature` must be a finite number of at least 1. Received: 0.5"),
        ({"temperature": 2.0, "weights": {}}, "`weights` and `temperature` exclude each other"),
    ],
)
def test_shares_out_of_range_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        mixed_documents(READERS, **arguments)


def test_a_corpus_that_holds_only_duplicates_is_an_error():
    readers = {"a": [["One."]].__iter__, "b": [["One."]].__iter__}
    with pytest.raises(ValueError, match=r"`corpora` must each hold .*'b', whose documents are all duplicates"):
        list(mixed_documents(readers, temperature=2.0, deduplicate="exact"))


def test_documents_are_not_kept_in_memory():
    alive = 0
    most = 0

    class Document(list):
        def __init__(self, *arguments):
            nonlocal alive, most
            super().__init__(*arguments)
            alive += 1
            most = max(most, alive)

        def __del__(self):
            nonlocal alive
            alive -= 1

    def read():
        return (Document([f"Sentence {number}."]) for number in range(500))

    streams = mixed_documents({"a": read, "b": read}, weights={"a": 1, "b": 3}, report=_silent)
    assert sum(1 for _ in streams) > 900
    assert most < 10
    assert sum(1 for _ in mixtures.without_duplicates(read())) == 500
    assert most < 10
