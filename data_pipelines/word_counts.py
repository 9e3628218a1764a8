"""The words of a corpus, cut as the tokenizer cuts them, and how often each occurs."""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator

from bert_tf.tokenization.options import TokenizerOptions
from bert_tf.tokenization.wordpiece import BasicTokenizer
from bert_tf.utils.processes import ordered_map
from bert_tf.utils.progress import progress_bar
from data_pipelines.corpora.documents import Document, in_groups, is_held_out, num_characters, without_blanks

SAMPLE_EVERY = 20
"""Without held-out documents, every 20th document is used for the statistics."""

# The approximate number of characters that a worker receives at a time, and the number of distinct strings that it
# counts before it cuts them into words. Both bound memory and change no counts.
_GROUP_CHARACTERS = 1 << 20
_MAX_DISTINCT_STRINGS = 1 << 19

NumberedDocuments = tuple[int, Iterable[Document]]
"""The number of documents that come before some documents of a stream, and these documents."""


@dataclasses.dataclass
class WordCounts:
    """The number of times that each word occurs.

    Attributes:
        words: the counts in the documents from which tokens are learnt.
        sample_words: the counts in the documents that are used for the statistics: the held-out ones, or every 20th.
        documents: the number of documents from which tokens are learnt.
        held_out_documents: the number of held-out documents.
    """

    words: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    sample_words: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    documents: int = 0
    held_out_documents: int = 0

    def add(self, other: "WordCounts") -> None:
        """Add the counts of other documents."""
        self.words.update(other.words)
        self.sample_words.update(other.sample_words)
        self.documents += other.documents
        self.held_out_documents += other.held_out_documents


CountWords = Callable[..., WordCounts]
"""A function with the arguments of `count_words`."""


def count_words(
    documents: Iterable[Document],
    *,
    do_lower_case: bool = True,
    options: TokenizerOptions | None = None,
    holdout: float = 0.0,
    num_workers: int = 1,
) -> WordCounts:
    """Count the words of documents. Memory grows only with the number of distinct words.

    Args:
        documents: see `vocabulary.create_vocab`.
        do_lower_case: see `vocabulary.create_vocab`.
        options: see `vocabulary.create_vocab`.
        holdout: see `vocabulary.create_vocab`.
        num_workers: see `vocabulary.create_vocab`.

    Raises:
        ValueError: the documents that are not held out hold no word; `holdout` or `num_workers` is out of range.
    """
    check_holdout(holdout)
    counts = WordCounts()
    count = functools.partial(count_group, do_lower_case=do_lower_case, options=options, holdout=holdout)
    with progress_bar(label="words", unit=" documents") as bar:
        for group_counts in ordered_map(count, _groups(documents), num_workers):
            counts.add(group_counts)
            bar.update(group_counts.documents + group_counts.held_out_documents)
    return checked(counts)


def checked(counts: WordCounts) -> WordCounts:
    """Return the counts of a corpus.

    Raises:
        ValueError: there are no words.
    """
    if not counts.words:
        raise ValueError(
            f"`documents` must hold at least one word. Received: {counts.documents} documents without words, and "
            f"{counts.held_out_documents} held out"
        )
    return counts


def check_holdout(holdout: float) -> None:
    """Check a share of held-out documents.

    Raises:
        ValueError: it is out of range.
    """
    if not 0.0 <= holdout < 1.0:
        raise ValueError(f"`holdout` must be at least 0 and less than 1. Received: {holdout!r}")


def basic_tokenizer(do_lower_case: bool, options: TokenizerOptions | None) -> BasicTokenizer:
    """Return the splitter into words of a tokenizer with these options."""
    options = options or TokenizerOptions()
    return BasicTokenizer(
        do_lower_case,
        strip_accents=options.strip_accents,
        tokenize_chinese_chars=options.tokenize_chinese_chars,
    )


def _groups(documents: Iterable[Document]) -> Iterator[NumberedDocuments]:
    first = 0
    for group in in_groups(without_blanks(documents), num_characters, _GROUP_CHARACTERS):
        yield first, group
        first += len(group)


def count_group(
    group: NumberedDocuments, *, do_lower_case: bool, options: TokenizerOptions | None, holdout: float
) -> WordCounts:
    """Return the words of some documents of a stream, which has other documents before them.

    Args:
        group: the number of documents before these, and these, without blank sentences.
        do_lower_case: see `count_words`.
        options: see `count_words`.
        holdout: see `count_words`.
    """
    words_of = basic_tokenizer(do_lower_case, options)
    counts = WordCounts()
    # Strings between spaces are counted first, so that each distinct string is cut into words once.
    strings: collections.Counter[str] = collections.Counter()
    sample_strings: collections.Counter[str] = collections.Counter()

    def cut_into_words() -> None:
        for source, target in ((strings, counts.words), (sample_strings, counts.sample_words)):
            for string, count in source.items():
                for word in words_of.split_word(string):
                    target[word] += count
            source.clear()

    first, documents = group
    for number, document in enumerate(documents, first):
        held_out = holdout > 0 and is_held_out(document, holdout)
        counts.documents += not held_out
        counts.held_out_documents += held_out
        targets = [sample_strings] if held_out else [strings]
        if not holdout and number % SAMPLE_EVERY == 0:
            targets.append(sample_strings)
        for sentence in document:
            found = words_of.split_spaces(sentence)
            for target in targets:
                target.update(found)
        if len(strings) + len(sample_strings) > _MAX_DISTINCT_STRINGS:
            cut_into_words()
    cut_into_words()
    return counts
