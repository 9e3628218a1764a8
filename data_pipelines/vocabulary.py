"""Learn a WordPiece vocabulary from documents: the same bytes in every run, for any number of workers.

Words are counted as the tokenizer will cut them (`BasicTokenizer`); the tokens are then learnt from the counts by the
`tokenizers` library, whose `WordPieceTrainer` merges the most frequent pair until the vocabulary is full.
"""

import collections
import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from bert_tf.tokenization.wordpiece import MAX_WORD_CHARACTERS, SPECIAL_TOKENS, BasicTokenizer, WordPieceTokenizer
from bert_tf.utils import files
from bert_tf.utils.processes import ordered_map
from bert_tf.utils.progress import progress_bar
from data_pipelines.corpora.documents import Document, is_held_out

# Without held-out documents, every so-manieth one is what the statistics are taken from.
SAMPLE_EVERY = 20

# About so many characters go to a worker at a time, and so many distinct strings are counted before they are
# cut into words: both bound memory, neither changes the counts.
_GROUP_CHARACTERS = 1 << 20
_MAX_DISTINCT_STRINGS = 1 << 19

# The trainer takes text, not counts. More occurrences than these are scaled down, so that training takes a minute at
# most; the rounding touches words that are far too rare to be learnt from so much text.
_MAX_OCCURRENCES = 200_000_000

_RESERVED_TOKEN = re.compile(r"\[[^\s\[\]]+\]")


@dataclasses.dataclass
class WordCounts:
    """The number of times that each word occurs.

    Attributes:
        words: in the documents that tokens are learnt from.
        sample_words: in the documents that the statistics are taken from: the held-out ones, or every 20th.
        documents, held_out_documents: how many there are.
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


@dataclasses.dataclass(frozen=True)
class VocabularyStatistics:
    """The fit of a vocabulary to text: tokens for each word, and the share of words that become `[UNK]`."""

    words: int
    tokens_per_word: float
    unknown_share: float

    def __str__(self) -> str:
        return f"{self.tokens_per_word:.3f} tokens per word, {self.unknown_share:.3%} [UNK] in {self.words:,} words"


def create_vocab(
    documents: Iterable[Document],
    vocab_size: int = 30522,
    *,
    output: str | None = None,
    do_lower_case: bool = True,
    min_frequency: int = 2,
    limit_alphabet: int = 1000,
    num_unused: int = 0,
    user_tokens: Sequence[str] = (),
    holdout: float = 0.0,
    num_workers: int = 1,
    report: Callable[[str], None] = print,
) -> list[str]:
    """Learn a vocabulary from documents, and measure how well it fits.

    Args:
        documents: lists of sentences, read once (`readers.read_documents`).
        vocab_size: tokens at most, special tokens included; a small corpus gives fewer.
        output: file to write it to, one token a line, whole or not at all; None: it is only returned.
        do_lower_case: for an uncased model.
        min_frequency: a pair that occurs less often is not joined to a token. Where the documents hold more than 200
            million words, this and all counts are divided by the same number before tokens are learnt.
        limit_alphabet: characters at most, the most frequent ones; words with others are `[UNK]`.
        num_unused: places `[unused0]`, `[unused1]`, ... behind `[PAD]`, for tokens that are invented later. 99
            puts `[UNK]`, `[CLS]`, `[SEP]`, `[MASK]` at 100 to 103, as in the published vocabularies.
        user_tokens: words, tokens (`##...`) or reserved tokens (`[...]`) that the vocabulary must hold.
        holdout: share of documents not to learn from (`documents.is_held_out`).
        num_workers: processes that count words; 0: one a core. The vocabulary is the same.
        report: takes the lines that tell what was found.

    Returns:
        The tokens, by id.

    Raises:
        ValueError: an argument is out of range, or the documents hold no word.
    """
    _check_user_tokens(user_tokens, do_lower_case)
    counts = count_words(documents, do_lower_case, holdout, num_workers)
    held_out = f", {counts.held_out_documents:,} more held out" if holdout else ""
    report(
        f"counted {counts.words.total():,} words, {len(counts.words):,} distinct, "
        f"in {counts.documents:,} documents{held_out}"
    )
    tokens = learn_vocab(
        counts.words,
        vocab_size,
        do_lower_case=do_lower_case,
        min_frequency=min_frequency,
        limit_alphabet=limit_alphabet,
        num_unused=num_unused,
        user_tokens=user_tokens,
    )
    statistics = vocabulary_statistics(tokens, counts.sample_words, do_lower_case)
    sample = "held-out documents" if holdout else f"every {SAMPLE_EVERY}th document"
    report(f"vocabulary of {len(tokens):,} tokens; {sample}: {statistics}")
    if output is not None:
        files.write_text(output, "".join(token + "\n" for token in tokens))
    return tokens


def count_words(
    documents: Iterable[Document], do_lower_case: bool = True, holdout: float = 0.0, num_workers: int = 1
) -> WordCounts:
    """Count the words of documents; memory grows only with the number of distinct words.

    Raises:
        ValueError: the documents that are not held out hold no word; `holdout` or `num_workers` is out of range.
    """
    if not 0.0 <= holdout < 1.0:
        raise ValueError(f"`holdout` must be at least 0 and less than 1. Received: {holdout!r}")
    counts = WordCounts()
    groups = _groups(documents)
    count_group = functools.partial(_count_group, do_lower_case=do_lower_case, holdout=holdout)
    with progress_bar(label="words", unit=" documents") as bar:
        for group_counts in ordered_map(count_group, groups, num_workers):
            counts.add(group_counts)
            bar.update(group_counts.documents + group_counts.held_out_documents)
    if not counts.words:
        raise ValueError(
            f"a vocabulary is learnt from documents with at least one word. Received: {counts.documents} documents "
            f"without one, and {counts.held_out_documents} held out"
        )
    return counts


def learn_vocab(
    counts: Mapping[str, int],
    vocab_size: int,
    *,
    do_lower_case: bool = True,
    min_frequency: int = 2,
    limit_alphabet: int = 1000,
    num_unused: int = 0,
    user_tokens: Sequence[str] = (),
) -> list[str]:
    """Return the tokens learnt from word counts; the arguments are those of `create_vocab`.

    The order: `[PAD]`, the unused places, `[UNK]`, `[CLS]`, `[SEP]`, `[MASK]`, the user's tokens, single characters,
    single characters as continuations, and what was joined of them, in the order of joining.
    """
    for name, value, least in (
        ("min_frequency", min_frequency, 1),
        ("limit_alphabet", limit_alphabet, 1),
        ("num_unused", num_unused, 0),
    ):
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}. Received: {value!r}")
    _check_user_tokens(user_tokens, do_lower_case)
    frequencies: collections.Counter[str] = collections.Counter()
    continuing: set[str] = set()
    for word, count in counts.items():
        for character in word:
            frequencies[character] += count
        continuing.update(word[1:])
    # Ties go to the smaller code point, so that the order of counting leaves no trace.
    alphabet = sorted(sorted(frequencies, key=lambda character: (-frequencies[character], character))[:limit_alphabet])
    # Letters are kept in both roles. Punctuation and CJK characters, always words of their own, need no continuation.
    characters = alphabet + ["##" + c for c in alphabet if c in continuing or not _stands_alone(c)]
    unused = [f"[unused{index}]" for index in range(num_unused)]
    first = list(dict.fromkeys([SPECIAL_TOKENS[0], *unused, *SPECIAL_TOKENS[1:], *user_tokens, *characters]))
    if vocab_size < len(first):
        raise ValueError(
            f"`vocab_size` must be at least {len(first)}, for {len(first) - len(characters)} reserved tokens and "
            f"{len(characters)} single characters (fewer with a smaller `limit_alphabet`). Received: {vocab_size!r}"
        )
    known = set(alphabet)
    trained = {
        word: counts[word]
        for word in sorted(counts)
        if len(word) > 1 and len(word) <= MAX_WORD_CHARACTERS and known.issuperset(word)
    }
    scale = -(-sum(trained.values()) // _MAX_OCCURRENCES)
    if scale > 1:
        trained = {word: (count + scale // 2) // scale for word, count in trained.items()}
        min_frequency = -(-min_frequency // scale)
    return _train(trained, first, alphabet, vocab_size, min_frequency)


def _train(
    counts: Mapping[str, int], first: list[str], alphabet: list[str], vocab_size: int, min_frequency: int
) -> list[str]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    # The trainer numbers characters in the order of a hash map, and breaks ties between pairs by these numbers:
    # alone it gives another vocabulary each time. Characters that are given to it as special tokens have their
    # numbers before it starts, and nothing is left to chance.
    tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIAL_TOKENS[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=first,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        continuing_subword_prefix="##",
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeated(counts), trainer)
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    return sorted(vocabulary, key=vocabulary.__getitem__)


def _repeated(counts: Mapping[str, int], most: int = 1000) -> Iterator[str]:
    """Yield each word as often as it was counted, because the trainer takes text, not counts."""
    for word, count in counts.items():
        full, rest = divmod(count, most)
        yield from itertools.repeat((word + " ") * most, full)
        yield (word + " ") * rest


def vocabulary_statistics(
    tokens: Sequence[str], counts: Mapping[str, int], do_lower_case: bool = True
) -> VocabularyStatistics:
    """Return how the vocabulary fits counted words; all zeros if there are no words."""
    tokenizer = WordPieceTokenizer.from_tokens(tokens, do_lower_case)
    words = produced = unknown = 0
    for word, count in counts.items():
        ids = tokenizer.encode(word)
        words += count
        produced += len(ids) * count
        unknown += count * (tokenizer.unk_id in ids)
    return VocabularyStatistics(words, produced / max(words, 1), unknown / max(words, 1))


def _stands_alone(character: str) -> bool:
    """Return whether the tokenizer always cuts before and after a character."""
    return BasicTokenizer(do_lower_case=False).fold(character).startswith(" ")


def _check_user_tokens(user_tokens: Sequence[str], do_lower_case: bool) -> None:
    basic_tokenizer = BasicTokenizer(do_lower_case)
    for token in user_tokens:
        word = token.removeprefix("##")
        if basic_tokenizer.words(word) != [word] and not _RESERVED_TOKEN.fullmatch(token):
            raise ValueError(
                "`user_tokens` must be single words as the tokenizer cuts them, tokens with ## before them, or "
                f"reserved tokens in square brackets. Received: {token!r}, cut to {basic_tokenizer.words(word)}"
            )


@dataclasses.dataclass(frozen=True)
class _Group:
    """A run of consecutive documents, whose first is document number `first`."""

    first: int
    documents: list[Document]


def _groups(documents: Iterable[Document]) -> Iterator[_Group]:
    first = characters = 0
    group: list[Document] = []
    for document in documents:
        group.append(document)
        characters += sum(map(len, document))
        if characters >= _GROUP_CHARACTERS:
            yield _Group(first, group)
            first, characters, group = first + len(group), 0, []
    if group:
        yield _Group(first, group)


def _count_group(group: _Group, do_lower_case: bool, holdout: float) -> WordCounts:
    basic_tokenizer = BasicTokenizer(do_lower_case)
    counts = WordCounts()
    # Strings between spaces are counted first, and each distinct one is cut into words once.
    strings: collections.Counter[str] = collections.Counter()
    sample_strings: collections.Counter[str] = collections.Counter()

    def cut_into_words() -> None:
        for source, target in ((strings, counts.words), (sample_strings, counts.sample_words)):
            for string, count in source.items():
                for word in basic_tokenizer.split_word(string):
                    target[word] += count
            source.clear()

    for number, document in enumerate(group.documents, group.first):
        held_out = holdout > 0 and is_held_out(document, holdout)
        counts.documents += not held_out
        counts.held_out_documents += held_out
        targets = [sample_strings] if held_out else [strings]
        if not holdout and number % SAMPLE_EVERY == 0:
            targets.append(sample_strings)
        for sentence in document:
            found = basic_tokenizer.split_spaces(sentence)
            for target in targets:
                target.update(found)
        if len(strings) + len(sample_strings) > _MAX_DISTINCT_STRINGS:
            cut_into_words()
    cut_into_words()
    return counts
