"""Mixtures of corpora: one stream of documents, in the shares that weights or a temperature give to the corpora.

With n_i sentences in corpus i, N sentences in all corpora and the share p_i, the stream takes about p_i N sentences
from corpus i, which it therefore reads p_i N / n_i times. Where this is not a whole number, the last pass takes each
document with the probability of the fraction, decided by a hash of seed and text. So small corpora are repeated, large
ones are subsampled, and the stream is as long as all corpora together.

Shares come from weights, p_i ~ w_i, or from a temperature T >= 1, p_i ~ n_i^(1/T). A temperature of 1 keeps the natural
shares; larger ones make the shares more equal. The exponent 1/T is 0.7 (T = 1.43) in multilingual BERT
(google-research/bert, multilingual.md), alpha = 0.5 to 0.7 in XLM (Lample and Conneau 2019, section 3.1, which counts
sentences as well) and 0.3 (T = 3.33) in XLM-R (Conneau et al. 2020, section 3).
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from data_pipelines.corpora.deduplication import ExactDuplicateFilter
from data_pipelines.corpora.documents import Document
from data_pipelines.corpora.near_duplicates import NearDuplicateDocumentFilter

Item = TypeVar("Item")

Corpora = Mapping[str, Callable[[], Iterable[Document]]]
"""A reader for the name of each corpus; each call reads the same documents from the start."""


DEDUPLICATION = ("none", "exact", "near")
"""The duplicates that are left out: none, equal documents, or those that mostly repeat earlier ones, too."""


def without_duplicates(
    documents: Iterable[Document], deduplicate: str = "exact", *, num_workers: int = 1
) -> Iterator[Document]:
    """Yield the documents, except the duplicates of earlier ones.

    Args:
        documents: the documents, which are read once.
        deduplicate: one of `DEDUPLICATION`.
        num_workers: the number of processes that compare near-duplicates; 0 for one a core. The answer is the same.

    Raises:
        ValueError: `deduplicate` is none of `DEDUPLICATION`.
    """
    return only_new(documents, _judge(deduplicate, num_workers))


def only_new(items: Iterable[Item], judged: Callable[[Iterable[Item]], Iterator[tuple[Item, bool]]]) -> Iterator[Item]:
    """Yield the items that `judged` calls new."""
    return (item for item, new in judged(items) if new)


def _judge(deduplicate: str, num_workers: int) -> Callable[[Iterable[Document]], Iterator[tuple[Document, bool]]]:
    """Return the function that yields each document and whether it is new among all documents it was ever given."""
    if deduplicate == "near":
        return NearDuplicateDocumentFilter(num_workers=num_workers).judged
    if deduplicate == "exact":
        return ExactDuplicateFilter().judged
    if deduplicate == "none":
        return lambda documents: ((document, True) for document in documents)
    raise ValueError(f"`deduplicate` must be one of {', '.join(DEDUPLICATION)}. Received: {deduplicate!r}")


def check_shares(names: Sequence[str], weights: Mapping[str, float] | None, temperature: float | None) -> None:
    """Check that weights or a temperature fit the corpora.

    Args:
        names: the names of the corpora.
        weights: see `mixture_shares`.
        temperature: see `mixture_shares`.

    Raises:
        ValueError: weights and a temperature are both given, a corpus has no weight, or a number is out of range.
    """
    if weights is not None and temperature is not None:
        raise ValueError("`weights` and `temperature` exclude each other. Received: both")
    if weights is not None and (set(weights) != set(names) or not all(0 < w < float("inf") for w in weights.values())):
        raise ValueError(
            f"`weights` must give each corpus ({', '.join(names)}) a number above 0. Received: "
            f"{','.join(f'{name}={weight:g}' for name, weight in weights.items())}"
        )
    if temperature is not None and not 1.0 <= temperature < float("inf"):
        raise ValueError(f"`temperature` must be a finite number of at least 1. Received: {temperature}")


def mixture_shares(
    sentences: Mapping[str, int], weights: Mapping[str, float] | None = None, temperature: float | None = None
) -> dict[str, float]:
    """Return the share p_i of each corpus. Without weights and temperature, it is the share of the corpus's sentences.

    Args:
        sentences: the number of sentences in each corpus.
        weights: a number above 0 for each corpus; their sum does not matter.
        temperature: a number of at least 1, instead of weights.

    Raises:
        ValueError: as `check_shares`.

    >>> mixture_shares({"en": 8100, "sw": 100}, temperature=2)
    {'en': 0.9, 'sw': 0.1}
    """
    check_shares(list(sentences), weights, temperature)
    if weights is None:
        weights = {name: count ** (1 / (temperature or 1.0)) for name, count in sentences.items()}
    total = sum(weights[name] for name in sentences)
    return {name: weights[name] / total for name in sentences}


def mixed_documents(
    corpora: Corpora,
    *,
    weights: Mapping[str, float] | None = None,
    temperature: float | None = None,
    deduplicate: str = "none",
    seed: int = 0,
    num_workers: int = 1,
    report: Callable[[str], None] = print,
) -> Iterator[Document]:
    """Yield the documents of several corpora, repeated or subsampled to their shares, as this module describes.

    Every corpus is read once, one after the other, then those that are read a second time, and so on. A corpus is not
    interleaved with others, so that the random second segments of next-sentence pairs come from the same corpus, and
    copies of a document are as far apart as possible. With weights or a temperature, all corpora are read once more
    before the first document, to count their sentences; memory then holds counts and the indices of duplicates only.

    Args:
        corpora: the corpora by name.
        weights: a number above 0 for each corpus, from which the shares follow.
        temperature: a number of at least 1, from which the shares follow instead.
        deduplicate: which duplicates of earlier documents, of any corpus, are left out (`DEDUPLICATION`).
        seed: the random seed of subsampling.
        num_workers: see `without_duplicates`.
        report: the function that receives a line of text for each corpus.

    Yields:
        The documents, the same ones for the same arguments.

    Raises:
        ValueError: as `check_shares` and `without_duplicates`; or, at the first document, a corpus holds only
            duplicates of earlier documents.
    """
    check_shares(list(corpora), weights, temperature)
    if weights is None and temperature is None:
        documents = (document for read in corpora.values() for document in read())
        return without_duplicates(documents, deduplicate, num_workers=num_workers)
    return mixed(
        corpora,
        _judge(deduplicate, num_workers),
        sentences_of=len,
        hash_of=lambda document: mixing_hash(document, seed),
        weights=weights,
        temperature=temperature,
        report=report,
    )


def mixed(
    corpora: Mapping[str, Callable[[], Iterable[Item]]],
    judged: Callable[[Iterable[Item]], Iterator[tuple[Item, bool]]],
    *,
    sentences_of: Callable[[Item], int],
    hash_of: Callable[[Item], int],
    weights: Mapping[str, float] | None,
    temperature: float | None,
    report: Callable[[str], None],
) -> Iterator[Item]:
    """Yield the documents of a mixture with weights or a temperature, or what stands for documents.

    Args:
        corpora: for each corpus the function that reads it; each call gives the same items.
        judged: yields items, and whether each is new among all items that it was ever given.
        sentences_of: returns an item's number of sentences.
        hash_of: returns the `mixing_hash` of an item.
        weights: see `mixed_documents`.
        temperature: see `mixed_documents`.
        report: see `mixed_documents`.

    Raises:
        ValueError: as `mixed_documents`.
    """
    sentences = dict.fromkeys(corpora, 0)
    dropped = {name: array("Q") for name in corpora}
    for name, read in corpora.items():
        for number, (document, new) in enumerate(judged(read())):
            if new:
                sentences[name] += sentences_of(document)
            else:
                dropped[name].append(number)
    del judged  # frees its hashes
    empty = [name for name, count in sentences.items() if not count]
    if empty:
        raise ValueError(
            "`corpora` must each hold a document that no earlier one holds. Received: corpus "
            f"{empty[0]!r}, whose documents are all duplicates"
        )
    shares = mixture_shares(sentences, weights, temperature)
    total = sum(sentences.values())
    # Rounded, since an error in the last digit would cost one more pass over a corpus.
    times = {name: round(shares[name] * total / sentences[name], 9) for name in corpora}
    for name in corpora:
        report(f"corpus {name}: {sentences[name]:,} sentences, share {shares[name]:.2%}, read {times[name]:.3f} times")
    whole = 0
    while any(times[name] > whole for name in corpora):
        for name, read in corpora.items():
            fraction = times[name] - whole
            if fraction <= 0:
                continue
            for document in _without(read(), dropped[name]):
                if fraction >= 1 or hash_of(document) / 2**64 < fraction:
                    yield document
        whole += 1


def _without(documents: Iterable[Item], numbers: Iterable[int]) -> Iterator[Item]:
    """Yield the documents, except those whose numbers are among the ascending `numbers`."""
    left_out = iter(numbers)
    following = next(left_out, None)
    for number, document in enumerate(documents):
        if number == following:
            following = next(left_out, None)
        else:
            yield document


def mixing_hash(document: Document, seed: int) -> int:
    """Return a hash of 64 bits that depends on text and seed only, and not on the hash that holds documents out."""
    text = "\n".join(document).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8, key=f"mixing {seed}".encode()).digest()
    return int.from_bytes(digest, "little")
