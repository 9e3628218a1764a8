"""Sequences for pre-training, cut from tokenized documents: next-sentence pairs, or full sentences.

A sequence is one or two spans of the shard's pieces, so that no piece is copied before a row is written. What is
drawn depends on the generator alone, which the caller seeds from (seed, shard name).
"""

import dataclasses
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import NamedTuple

import numpy as np

from bert_tf.features import NO_NEXT_SENTENCE_LABEL

SPECIALS_IN_PAIR = 3  # [CLS] A [SEP] B [SEP]
SPECIALS_IN_SINGLE = 2  # [CLS] A [SEP]
IS_NEXT = 0
IS_RANDOM = 1


@dataclasses.dataclass(frozen=True)
class TokenizedDocuments:
    """The documents of one shard, as one array of piece ids.

    Attributes:
        pieces: int32 [number of pieces], all sentences one after the other.
        sentence_starts: where each sentence starts in `pieces`; sentences without a piece are left out.
        sentence_lengths: its number of pieces.
        documents: (first sentence, last sentence + 1) of each document; documents without a piece are left out.
    """

    pieces: np.ndarray
    sentence_starts: list[int]
    sentence_lengths: list[int]
    documents: list[tuple[int, int]]


class SegmentPair(NamedTuple):
    """A sequence: segment A and segment B as spans of `TokenizedDocuments.pieces`; a length of 0 for no B."""

    first_start: int
    first_length: int
    second_start: int
    second_length: int
    label: int

    @property
    def num_pieces(self) -> int:
        """Pieces of the sequence, `[CLS]` and `[SEP]`s included."""
        specials = SPECIALS_IN_PAIR if self.second_length else SPECIALS_IN_SINGLE
        return self.first_length + self.second_length + specials


def tokenize_documents(
    documents: Iterable[Sequence[str]], encode: Callable[[str], Sequence[int]]
) -> TokenizedDocuments:
    """Tokenize sentence by sentence; four bytes a piece are kept."""
    pieces = array("i")
    starts: list[int] = []
    lengths: list[int] = []
    spans: list[tuple[int, int]] = []
    for document in documents:
        first = len(starts)
        for sentence in document:
            ids = encode(sentence)
            if ids:
                starts.append(len(pieces))
                lengths.append(len(ids))
                pieces.extend(ids)
        if len(starts) > first:
            spans.append((first, len(starts)))
    return TokenizedDocuments(
        np.frombuffer(pieces, np.int32) if pieces else np.zeros(0, np.int32), starts, lengths, spans
    )


def shuffled(items: Iterable, generator: Random) -> list:
    """The items in random order.

    Sorted by `random()`, whose stream Python guarantees for ever; that of `random.shuffle` it does not.
    """
    keyed = [(generator.random(), number, item) for number, item in enumerate(items)]
    keyed.sort(key=lambda entry: entry[:2])
    return [item for _, _, item in keyed]


def _uniform(generator: Random, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both possible (see `shuffled` on why not `randint`)."""
    return low + int(generator.random() * (high - low + 1))


def _target_length(generator: Random, longest: int, shortest: int, short_seq_prob: float) -> int:
    """Pieces to fill a document's sequences with: mostly `longest`, at times fewer, as fine-tuning will see."""
    if generator.random() >= short_seq_prob:
        return longest
    return _uniform(generator, shortest, longest)


def next_sentence_pairs(
    corpus: TokenizedDocuments, max_seq_length: int, short_seq_prob: float, generator: Random
) -> Iterator[SegmentPair]:
    """Pairs for the next-sentence objective, by the rules of google-research/bert `create_instances_from_document`.

    Sentences are collected until they fill the target length. Segment A is a random number of the first ones; B is the
    rest (label 0), or starts at a random sentence of another document of the shard (label 1), and then the
    sentences that were meant for B are used again. A single sentence always takes a random B. A pair that is too
    long loses pieces of its longer segment, each at front or back by chance. Unlike in Google's code, where ten
    tries may all hit the same document, B's document is never A's.

    Args:
        corpus: at least two documents.
        max_seq_length: L, at least 5.
        short_seq_prob: share of documents that are cut into shorter sequences.
        generator: what all choices are drawn from.

    Yields:
        The pairs, document by document in random order.

    Raises:
        ValueError: the shard holds a single document, so that there is no random B.
    """
    if len(corpus.documents) == 1:
        raise ValueError(
            "next-sentence pairs need at least two documents in a shard, for random second segments; documents are "
            "separated by blank lines. Received: 1 document (use --objective mlm for pre-training without pairs)"
        )
    starts, lengths = corpus.sentence_starts, corpus.sentence_lengths
    longest = max_seq_length - SPECIALS_IN_PAIR
    documents = shuffled(corpus.documents, generator)
    for number, (first_sentence, end) in enumerate(documents):
        target = _target_length(generator, longest, 2, short_seq_prob)
        chunk = first_sentence
        collected = 0
        sentence = first_sentence
        while sentence < end:
            collected += lengths[sentence]
            sentence += 1
            if sentence < end and collected < target:
                continue
            sentences_in_chunk = sentence - chunk
            split = chunk + (1 if sentences_in_chunk == 1 else _uniform(generator, 1, sentences_in_chunk - 1))
            first_start = starts[chunk]
            first_length = starts[split - 1] + lengths[split - 1] - first_start
            if sentences_in_chunk == 1 or generator.random() < 0.5:
                label = IS_RANDOM
                other = _uniform(generator, 0, len(documents) - 2)
                other_first, other_end = documents[other + (other >= number)]
                second = _uniform(generator, other_first, other_end - 1)
                second_start = starts[second]
                second_length = lengths[second]
                while second_length < target - first_length and second + 1 < other_end:
                    second += 1
                    second_length += lengths[second]
                sentence = split
            else:
                label = IS_NEXT
                second_start = starts[split]
                second_length = starts[sentence - 1] + lengths[sentence - 1] - second_start
            if first_length + second_length > longest:
                first_cut, second_cut = _cuts(first_length, second_length, longest)
                first_start += _from_front(generator, first_cut)
                first_length -= first_cut
                second_start += _from_front(generator, second_cut)
                second_length -= second_cut
            yield SegmentPair(first_start, first_length, second_start, second_length, label)
            chunk = sentence
            collected = 0


def _cuts(first_length: int, second_length: int, longest: int) -> tuple[int, int]:
    """How many pieces each segment loses when the longer one loses one at a time, the second at a tie."""
    excess = first_length + second_length - longest
    difference = first_length - second_length
    first_cut = min(excess, max(0, difference))
    second_cut = min(excess, max(0, -difference))
    rest = excess - first_cut - second_cut
    return first_cut + rest // 2, second_cut + (rest + 1) // 2


def _from_front(generator: Random, cut: int) -> int:
    """How many of `cut` pieces come off the front, when each is decided by a fair coin."""
    return generator.getrandbits(cut).bit_count() if cut else 0


def full_sentences(
    corpus: TokenizedDocuments, max_seq_length: int, short_seq_prob: float, generator: Random
) -> Iterator[SegmentPair]:
    """Sequences of consecutive sentences of one document, for pre-training without the next-sentence objective.

    The "doc-sentences" format of Liu et al. 2019 (RoBERTa, section 4.2). Every piece is in exactly one
    sequence; a sentence that is longer than a row is cut.

    Args:
        corpus: any number of documents.
        max_seq_length: L, at least 3.
        short_seq_prob: share of documents that are cut into shorter sequences.
        generator: what all choices are drawn from.

    Yields:
        Sequences without segment B, labelled `features.NO_NEXT_SENTENCE_LABEL`.
    """
    starts, lengths = corpus.sentence_starts, corpus.sentence_lengths
    longest = max_seq_length - SPECIALS_IN_SINGLE
    for first_sentence, end in shuffled(corpus.documents, generator):
        target = _target_length(generator, longest, min(2, longest), short_seq_prob)
        start = starts[first_sentence]
        length = 0
        for sentence in range(first_sentence, end):
            if length and length + lengths[sentence] > target:
                yield SegmentPair(start, length, 0, 0, NO_NEXT_SENTENCE_LABEL)
                start, length = start + length, 0
            length += lengths[sentence]
            while length > longest:
                yield SegmentPair(start, longest, 0, 0, NO_NEXT_SENTENCE_LABEL)
                start, length = start + longest, length - longest
        if length:
            yield SegmentPair(start, length, 0, 0, NO_NEXT_SENTENCE_LABEL)
