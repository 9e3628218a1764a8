"""WordPiece vocabularies learnt from documents, the same bytes in every run and for any number of workers.

documents -> words, cut as the tokenizer cuts them (`BasicTokenizer`) -> counts -> tokens

The tokens are learnt by the `tokenizers` library, whose `WordPieceTrainer` joins the most frequent pair of tokens
until the vocabulary is full.
"""

import collections
import itertools
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from bert_tf.tokenization.options import TokenizerOptions
from bert_tf.tokenization.wordpiece import MAX_WORD_CHARACTERS, SPECIAL_TOKENS, BasicTokenizer
from bert_tf.utils import files
from data_pipelines.alphabet import by_frequency, choose_alphabet, extended_alphabet
from data_pipelines.corpora.documents import Document
from data_pipelines.vocabulary_fit import fit_warnings, vocabulary_statistics
from data_pipelines.word_counts import SAMPLE_EVERY, CountWords, basic_tokenizer, count_words

# The trainer takes text instead of counts. Counts with a larger sum are scaled down, so that training takes a minute at
# most. Rounding affects only words that are far too rare to be learnt from so much text.
_MAX_OCCURRENCES = 200_000_000

_RESERVED_TOKEN = re.compile(r"\[[^\s\[\]]+\]")


def create_vocab(
    documents: Iterable[Document],
    vocab_size: int = 30522,
    *,
    output: str | None = None,
    do_lower_case: bool = True,
    options: TokenizerOptions | None = None,
    min_frequency: int = 2,
    limit_alphabet: int | None = None,
    num_unused: int = 0,
    user_tokens: Sequence[str] = (),
    holdout: float = 0.0,
    num_workers: int = 1,
    count: CountWords = count_words,
    report: Callable[[str], None] = print,
    warn: Callable[[str], None] = warnings.warn,
) -> list[str]:
    """Learn a vocabulary from documents, and report how well it fits.

    Args:
        documents: the documents (`readers.read_documents`), which are read once.
        vocab_size: the largest number of tokens, special tokens included. A small corpus gives fewer.
        output: the file to write, with one token on each line, which appears whole or not at all; None for no file.
        do_lower_case: whether the vocabulary is for an uncased model.
        options: the other options of the tokenizer that will use the vocabulary; None for those of the reference.
        min_frequency: pairs that occur less often are not joined to a token. If the documents hold more than 200
            million words, this number and all counts are divided by the same number before tokens are learnt.
        limit_alphabet: the largest number of characters. The most frequent ones are kept, and words with other
            characters become `[UNK]`. None keeps as many as cover 99.95 % of the text and fit, and more where there is
            room (`alphabet.choose_alphabet`).
        num_unused: the number of tokens `[unused0]`, `[unused1]`, ... after `[PAD]`, which later tokens may replace.
            With 99, `[UNK]`, `[CLS]`, `[SEP]` and `[MASK]` have the ids 100 to 103, as in the published vocabularies.
        user_tokens: words, continuations (`##...`) or reserved tokens (`[...]`) that the vocabulary must contain.
        holdout: the share of held-out documents, from which nothing is learnt (`documents.is_held_out`).
        num_workers: the number of processes that count words; 0 for one a core. The vocabulary is the same.
        count: the function that counts words, here or on other machines (`beam_word_counts`).
        report: the function that receives two lines of text about the counts and the fit.
        warn: the function that receives warnings about a vocabulary that is not full, or leaves much unknown.

    Returns:
        The tokens in the order of their ids.

    Raises:
        ValueError: an argument is out of range, or the documents hold no word.
        OSError: `output` cannot be written.
    """
    _check_user_tokens(user_tokens, basic_tokenizer(do_lower_case, options))
    counts = count(documents, do_lower_case=do_lower_case, options=options, holdout=holdout, num_workers=num_workers)
    held_out = f", {counts.held_out_documents:,} more held out" if holdout else ""
    report(
        f"counted {counts.words.total():,} words, {len(counts.words):,} distinct, "
        f"in {counts.documents:,} documents{held_out}"
    )
    tokens = learn_vocab(
        counts.words,
        vocab_size,
        do_lower_case=do_lower_case,
        options=options,
        min_frequency=min_frequency,
        limit_alphabet=limit_alphabet,
        num_unused=num_unused,
        user_tokens=user_tokens,
    )
    statistics = vocabulary_statistics(tokens, counts.sample_words, do_lower_case, options=options)
    sample = "held-out documents" if holdout else f"every {SAMPLE_EVERY}th document"
    report(f"vocabulary of {len(tokens):,} tokens; {sample}: {statistics}")
    for sentence in fit_warnings(
        statistics, len(tokens), vocab_size=vocab_size, min_frequency=min_frequency, limit_alphabet=limit_alphabet
    ):
        warn(sentence)
    if output is not None:
        files.write_text(output, "".join(token + "\n" for token in tokens))
    return tokens


def learn_vocab(
    counts: Mapping[str, int],
    vocab_size: int,
    *,
    do_lower_case: bool = True,
    options: TokenizerOptions | None = None,
    min_frequency: int = 2,
    limit_alphabet: int | None = None,
    num_unused: int = 0,
    user_tokens: Sequence[str] = (),
) -> list[str]:
    """Return the tokens learnt from word counts.

    Their order is `[PAD]`, the unused tokens, `[UNK]`, `[CLS]`, `[SEP]`, `[MASK]`, the user's tokens, single
    characters, single characters as continuations, and joined tokens in the order of joining.

    Args:
        counts: the number of times that each word occurs.
        vocab_size: see `create_vocab`.
        do_lower_case: see `create_vocab`.
        options: see `create_vocab`.
        min_frequency: see `create_vocab`.
        limit_alphabet: see `create_vocab`.
        num_unused: see `create_vocab`.
        user_tokens: see `create_vocab`.

    Raises:
        ValueError: an argument is out of range, or `vocab_size` leaves no room for the single characters.
    """
    for name, value, least in (
        ("min_frequency", min_frequency, 1),
        ("limit_alphabet", 1 if limit_alphabet is None else limit_alphabet, 1),
        ("num_unused", num_unused, 0),
    ):
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}. Received: {value!r}")
    _check_user_tokens(user_tokens, basic_tokenizer(do_lower_case, options))
    frequencies: collections.Counter[str] = collections.Counter()
    continuing: set[str] = set()
    for word, count in counts.items():
        for character in word:
            frequencies[character] += count
        continuing.update(word[1:])
    # Letters are kept alone and as continuations. Punctuation and CJK characters are always words of their own.
    alone = {
        character for character in frequencies if character not in continuing and _stands_alone(character, options)
    }
    unused = [f"[unused{index}]" for index in range(num_unused)]
    reserved = list(dict.fromkeys([SPECIAL_TOKENS[0], *unused, *SPECIAL_TOKENS[1:], *user_tokens]))

    def size_of(character: str) -> int:
        return 1 if character in alone else 2

    def learn(kept: Sequence[str]) -> list[str]:
        alphabet = sorted(kept)
        characters = alphabet + ["##" + character for character in alphabet if character not in alone]
        first = list(dict.fromkeys([*reserved, *characters]))
        if vocab_size < len(first):
            raise ValueError(
                f"`vocab_size` must be at least {len(first)}, for {len(reserved)} reserved tokens and "
                f"{len(characters)} single characters (a smaller `limit_alphabet` keeps fewer). "
                f"Received: {vocab_size!r}"
            )
        return _learnt_from(counts, first, alphabet, vocab_size=vocab_size, min_frequency=min_frequency)

    if limit_alphabet is not None:
        return learn(by_frequency(frequencies)[:limit_alphabet])
    kept = choose_alphabet(frequencies, size_of, vocab_size=vocab_size, reserved=len(reserved))
    tokens = learn(kept)
    spare = vocab_size - len(tokens)
    more = extended_alphabet(kept, frequencies, size_of, spare=spare, min_frequency=min_frequency)
    return learn(more) if len(more) > len(kept) else tokens


def _learnt_from(
    counts: Mapping[str, int], first: list[str], alphabet: list[str], *, vocab_size: int, min_frequency: int
) -> list[str]:
    """Return the tokens `first` and those that are joined from words of the alphabet."""
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
    return _train(trained, first, alphabet, vocab_size=vocab_size, min_frequency=min_frequency)


def _train(
    counts: Mapping[str, int], first: list[str], alphabet: list[str], *, vocab_size: int, min_frequency: int
) -> list[str]:
    """Return the tokens `first`, which include all single characters, and the tokens that the trainer joins."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    # By itself, the trainer numbers characters in the random order of a hash map, and breaks ties between pairs by
    # these numbers, so that each run gives another vocabulary. Special tokens have fixed numbers, so all characters
    # are passed as special tokens.
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
    """Yield text that holds each word as often as it was counted, because the trainer takes no counts."""
    for word, count in counts.items():
        full, rest = divmod(count, most)
        yield from itertools.repeat((word + " ") * most, full)
        yield (word + " ") * rest


def _stands_alone(character: str, options: TokenizerOptions | None) -> bool:
    """Return whether the tokenizer always cuts text before and after the character."""
    return basic_tokenizer(False, options).fold(character).startswith(" ")


def _check_user_tokens(user_tokens: Sequence[str], words_of: BasicTokenizer) -> None:
    for token in user_tokens:
        word = token.removeprefix("##")
        if words_of.words(word) != [word] and not _RESERVED_TOKEN.fullmatch(token):
            raise ValueError(
                "`user_tokens` must be single words as the tokenizer cuts them, continuations that start with ##, or "
                f"reserved tokens in square brackets. Received: {token!r}, cut into {words_of.words(word)}"
            )
