"""Sequences for pre-training, cut from tokenized documents: pairs of segments, or full sentences.

A sequence is one or two spans of the shard's tokens, so that no token is copied before a row is written. All random
choices come from the generator, which the caller seeds from (seed, shard name).
"""

import dataclasses
import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from random import Random
from typing import NamedTuple

import numpy as np

from bert_tf.features import NO_NEXT_SENTENCE_LABEL

SPECIALS_IN_PAIR = 3  # [CLS] A [SEP] B [SEP]
SPECIALS_IN_SINGLE = 2  # [CLS] A [SEP]
IS_NEXT = 0
IS_RANDOM = 1
IS_SWAPPED = 1


@dataclasses.dataclass(frozen=True)
class TokenizedDocuments:
    """The documents of one shard, as one array of token ids.

    Attributes:
        tokens: int32 [number of tokens], all sentences one after the other.
        sentence_bounds: sentence s is `tokens[sentence_bounds[s] : sentence_bounds[s + 1]]`; sentences without a token
            are left out.
        documents: (first sentence, last sentence + 1) of each document; documents without a token are left out.
        continues: uint8 [number of tokens], 1 on tokens that continue a word of a segmenter; None without one.
    """

    tokens: np.ndarray
    sentence_bounds: list[int]
    documents: list[tuple[int, int]]
    continues: np.ndarray | None = None

    @property
    def num_sentences(self) -> int:
        """The number of sentences that have a token."""
        return len(self.sentence_bounds) - 1


class SegmentPair(NamedTuple):
    """A sequence: segments A and B as spans of `TokenizedDocuments.tokens`. B has length 0 if there is none."""

    first_start: int
    first_length: int
    second_start: int
    second_length: int
    label: int

    @property
    def num_tokens(self) -> int:
        """The number of tokens in the sequence, special tokens included."""
        specials = SPECIALS_IN_PAIR if self.second_length else SPECIALS_IN_SINGLE
        return self.first_length + self.second_length + specials


def tokenize_documents(
    documents: Sequence[Sequence[str]], encode: Callable[[list[str]], tuple[np.ndarray, np.ndarray]]
) -> TokenizedDocuments:
    """Tokenize all sentences at once, and keep four bytes for each token.

    Args:
        documents: the documents, each a sequence of sentences.
        encode: a function such as `WordPieceTokenizer.encode_ragged`, which returns the ids of all sentences and the
            number of ids of each.
    """
    tokens, lengths = encode([sentence for document in documents for sentence in document])
    has_tokens = lengths > 0
    sentence_bounds = np.append(0, np.cumsum(lengths[has_tokens]))
    # The number of sentences with tokens up to the end of each document.
    sentences_left = np.append(0, np.cumsum(has_tokens))
    document_ends = np.cumsum([0, *map(len, documents)])
    bounds = sentences_left[document_ends].tolist()
    spans = [(first, end) for first, end in itertools.pairwise(bounds) if first < end]
    return TokenizedDocuments(tokens, sentence_bounds.tolist(), spans)


def cut_long_sentences(corpus: TokenizedDocuments, longest: int) -> TokenizedDocuments:
    """Return the corpus with every sentence of more than `longest` tokens cut into parts that are sentences themselves.

    Each part has half of `longest` tokens, so that two fill a row as segments A and B. A part as long as a row would
    leave no room for a true next segment, and truncation would drop half of it.

    Args:
        corpus: the tokenized documents. If none of its sentences is too long, it is returned as it is.
        longest: the tokens of text in a row, at least 2.
    """
    bounds = np.array(corpus.sentence_bounds)
    if (np.diff(bounds) <= longest).all():
        return corpus
    new_bounds = [0]
    first_parts = [0]  # the number of each sentence's first part
    for start, end in itertools.pairwise(corpus.sentence_bounds):
        if end - start > longest:
            # Neighbours have together exactly `longest` tokens, if that is odd too.
            ends = (start + (number * longest + 1) // 2 for number in itertools.count(1))
            new_bounds += itertools.takewhile(lambda bound: bound < end, ends)  # noqa: B023
        new_bounds.append(end)
        first_parts.append(len(new_bounds) - 1)
    documents = [(first_parts[first], first_parts[end]) for first, end in corpus.documents]
    return dataclasses.replace(corpus, sentence_bounds=new_bounds, documents=documents)


def used_tokens(corpus: TokenizedDocuments, sequences: Sequence[SegmentPair]) -> np.ndarray:
    """Return which tokens of the corpus are in at least one of the sequences, bool [number of tokens]."""
    spans = np.array([pair[:4] for pair in sequences], np.int64).reshape(-1, 2)
    size = len(corpus.tokens) + 1
    opened = np.bincount(spans[:, 0], minlength=size)
    closed = np.bincount(spans[:, 0] + spans[:, 1], minlength=size)
    return np.cumsum(opened - closed)[:-1] > 0


def shuffled(items: Iterable, generator: Random) -> list:
    """Return the items in random order.

    They are sorted by `random()`, because Python keeps its stream the same in all versions, but not `random.shuffle`.
    """
    # Each key is drawn after its item is produced, because producing it may draw from the same generator.
    keyed = [(item, generator.random()) for item in items]
    keyed.sort(key=itemgetter(1))
    return [item for item, _ in keyed]


def _uniform(generator: Random, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`, both included (`shuffled` says why not `randint`)."""
    return low + int(generator.random() * (high - low + 1))


def _target_length(generator: Random, longest: int, shortest: int, short_seq_prob: float) -> int:
    """Return the target length of a document's sequences: mostly `longest`, sometimes shorter, as in fine-tuning."""
    if generator.random() >= short_seq_prob:
        return longest
    return _uniform(generator, shortest, longest)


def next_sentence_pairs(
    corpus: TokenizedDocuments, max_seq_length: int, *, short_seq_prob: float, generator: Random
) -> Iterator[SegmentPair]:
    """Make next-sentence pairs by the rules of google-research/bert `create_instances_from_document`.

    Sentences are collected until they fill the target length. Segment A is a random number of the first ones. B is
    either the rest (label 0), or starts at a random sentence of another document of the shard (label 1); in that case,
    the rest is used again. A single sentence always gets a random B. A pair that is too long loses tokens of its longer
    segment, each at the front or the back by chance. B's document is never A's document, unlike in Google's code, whose
    ten tries may all find the same document. Sentences that are longer
    than a row are cut first (`cut_long_sentences`), where Google's code drops all but one row of them.

    Args:
        corpus: the documents, at least two.
        max_seq_length: L, at least 5.
        short_seq_prob: the share of documents that are cut into shorter sequences.
        generator: the generator of all random choices.

    Yields:
        The pairs, document by document in random order.

    Raises:
        ValueError: the shard holds a single document, so that there is no random B.
    """
    if len(corpus.documents) == 1:
        raise ValueError(
            "next-sentence pairs need at least two documents in a shard, for random second segments; documents are "
            "separated by blank lines. Received: 1 document (the objective mlm needs no pairs)"
        )
    longest = max_seq_length - SPECIALS_IN_PAIR
    corpus = cut_long_sentences(corpus, longest)
    bounds = corpus.sentence_bounds
    documents = shuffled(corpus.documents, generator)
    for number, (first_sentence, end) in enumerate(documents):
        target = _target_length(generator, longest, 2, short_seq_prob)
        chunk = first_sentence
        while chunk < end:
            sentence = _filled(bounds, chunk, end, target)
            sentences_in_chunk = sentence - chunk
            split = chunk + (1 if sentences_in_chunk == 1 else _uniform(generator, 1, sentences_in_chunk - 1))
            first_start = bounds[chunk]
            first_length = bounds[split] - first_start
            if sentences_in_chunk == 1 or generator.random() < 0.5:
                label = IS_RANDOM
                other = _uniform(generator, 0, len(documents) - 2)
                other_first, other_end = documents[other + (other >= number)]
                second = _uniform(generator, other_first, other_end - 1)
                second_start = bounds[second]
                second_length = bounds[_filled(bounds, second, other_end, target - first_length)] - second_start
                sentence = split
            else:
                label = IS_NEXT
                second_start = bounds[split]
                second_length = bounds[sentence] - second_start
            pair = SegmentPair(first_start, first_length, second_start, second_length, label)
            yield _truncated(pair, longest, generator)
            chunk = sentence


def sentence_order_pairs(
    corpus: TokenizedDocuments, max_seq_length: int, *, short_seq_prob: float, generator: Random
) -> Iterator[SegmentPair]:
    """Make pairs of consecutive segments, half of them swapped (Lan et al. 2020, "ALBERT", section 3.1).

    Segments are collected, split and truncated as in `next_sentence_pairs`. Label 0 is the order of the text, and 1 the
    other one. A sentence that stays alone becomes a sequence without a label, where ALBERT's code takes a random
    second segment.

    Args:
        corpus: the documents, any number of them.
        max_seq_length: L, at least 5.
        short_seq_prob: the share of documents that are cut into shorter sequences.
        generator: the generator of all random choices.

    Yields:
        The pairs, document by document in random order.
    """
    longest = max_seq_length - SPECIALS_IN_PAIR
    corpus = cut_long_sentences(corpus, longest)
    bounds = corpus.sentence_bounds
    for first_sentence, end in shuffled(corpus.documents, generator):
        target = _target_length(generator, longest, 2, short_seq_prob)
        chunk = first_sentence
        while chunk < end:
            sentence = _filled(bounds, chunk, end, target)
            if sentence - chunk == 1:
                yield SegmentPair(bounds[chunk], bounds[sentence] - bounds[chunk], 0, 0, NO_NEXT_SENTENCE_LABEL)
            else:
                split = chunk + _uniform(generator, 1, sentence - chunk - 1)
                segments = [(bounds[chunk], bounds[split]), (bounds[split], bounds[sentence])]
                label = IS_NEXT if generator.random() < 0.5 else IS_SWAPPED
                (first, first_end), (second, second_end) = reversed(segments) if label == IS_SWAPPED else segments
                pair = SegmentPair(first, first_end - first, second, second_end - second, label)
                yield _truncated(pair, longest, generator)
            chunk = sentence


def _truncated(pair: SegmentPair, longest: int, generator: Random) -> SegmentPair:
    """Return the pair with at most `longest` tokens of text, of whose longer segment either end is cut by chance."""
    first_start, first_length, second_start, second_length, label = pair
    if first_length + second_length <= longest:
        return pair
    first_cut, second_cut = _cuts(first_length, second_length, longest)
    first_start += _from_front(generator, first_cut)
    second_start += _from_front(generator, second_cut)
    return SegmentPair(first_start, first_length - first_cut, second_start, second_length - second_cut, label)


def _filled(bounds: list[int], first: int, end: int, target: int) -> int:
    """Return the end of the sentences from `first` on that hold `target` tokens, or `end` if there are fewer tokens."""
    return bisect_left(bounds, bounds[first] + target, first + 1, end)


def _cuts(first_length: int, second_length: int, longest: int) -> tuple[int, int]:
    """Return how many tokens each segment loses when the longer one loses one at a time, and at a tie the second."""
    excess = first_length + second_length - longest
    difference = first_length - second_length
    first_cut = min(excess, max(0, difference))
    second_cut = min(excess, max(0, -difference))
    rest = excess - first_cut - second_cut
    return first_cut + rest // 2, second_cut + (rest + 1) // 2


def _from_front(generator: Random, cut: int) -> int:
    """Return how many of `cut` tokens are cut at the front, when a fair coin decides each."""
    return generator.getrandbits(cut).bit_count() if cut else 0


def full_sentences(
    corpus: TokenizedDocuments, max_seq_length: int, *, short_seq_prob: float, generator: Random
) -> Iterator[SegmentPair]:
    """Make sequences of consecutive sentences of one document, for pre-training without next-sentence pairs.

    This is the "doc-sentences" format of Liu et al. 2019 (RoBERTa, section 4.2). Every token is in exactly one
    sequence. A sentence that is longer than a row is cut.

    Args:
        corpus: the documents, any number of them.
        max_seq_length: L, at least 3.
        short_seq_prob: the share of documents that are cut into shorter sequences.
        generator: the generator of all random choices.

    Yields:
        The sequences, without segment B and with the label `features.NO_NEXT_SENTENCE_LABEL`.
    """
    bounds = corpus.sentence_bounds
    longest = max_seq_length - SPECIALS_IN_SINGLE
    for first_sentence, end in shuffled(corpus.documents, generator):
        target = _target_length(generator, longest, min(2, longest), short_seq_prob)
        start = bounds[first_sentence]
        length = 0
        for sentence in range(first_sentence, end):
            sentence_length = bounds[sentence + 1] - bounds[sentence]
            if length and length + sentence_length > target:
                yield SegmentPair(start, length, 0, 0, NO_NEXT_SENTENCE_LABEL)
                start, length = start + length, 0
            length += sentence_length
            while length > longest:
                yield SegmentPair(start, longest, 0, 0, NO_NEXT_SENTENCE_LABEL)
                start, length = start + longest, length - longest
        if length:
            yield SegmentPair(start, length, 0, 0, NO_NEXT_SENTENCE_LABEL)
