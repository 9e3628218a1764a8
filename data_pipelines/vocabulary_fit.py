"""The fit of a vocabulary to text, and what to do where it fits badly."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

from bert_tf.tokenization.options import TokenizerOptions
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

MOST_UNKNOWN_SHARE = 0.01
_EXAMPLES = 8


@dataclasses.dataclass(frozen=True)
class VocabularyStatistics:
    """The fit of a vocabulary to text.

    Attributes:
        words: the number of words in the text.
        tokens_per_word: the mean number of tokens in a word.
        unknown_share: the share of words that become `[UNK]`.
        missing_characters: how often each character that is no token occurs in words that become `[UNK]`.
        too_long: the number of words that are longer than the tokenizer allows, which become `[UNK]`.
    """

    words: int
    tokens_per_word: float
    unknown_share: float
    missing_characters: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    too_long: int = 0

    def __str__(self) -> str:
        return f"{self.tokens_per_word:.3f} tokens per word, {self.unknown_share:.3%} [UNK] in {self.words:,} words"


def vocabulary_statistics(
    tokens: Sequence[str],
    counts: Mapping[str, int],
    do_lower_case: bool = True,
    *,
    options: TokenizerOptions | None = None,
) -> VocabularyStatistics:
    """Return the fit of a vocabulary to counted words, which is all zeros if there are no words.

    Args:
        tokens: the tokens in the order of their ids.
        counts: the number of times that each word occurs.
        do_lower_case: whether the tokenizer is uncased.
        options: its other options.
    """
    tokenizer = WordPieceTokenizer.from_tokens(tokens, do_lower_case, options)
    longest = tokenizer.options.max_input_chars_per_word
    known = set(tokens)
    missing: collections.Counter[str] = collections.Counter()
    words = produced = unknown = too_long = 0
    for word, count in counts.items():
        ids = tokenizer.encode(word)
        words += count
        produced += len(ids) * count
        if tokenizer.unk_id in ids:
            unknown += count
            too_long += count * (len(word) > longest)
            for character in word:
                missing[character] += count * (character not in known)
    return VocabularyStatistics(words, produced / max(words, 1), unknown / max(words, 1), +missing, too_long)


def fit_warnings(
    statistics: VocabularyStatistics,
    num_tokens: int,
    *,
    vocab_size: int,
    min_frequency: int,
    limit_alphabet: int | None,
) -> list[str]:
    """Return a sentence, with arguments in backticks, for a vocabulary that is not full or leaves much unknown.

    Args:
        statistics: the fit.
        num_tokens: the number of tokens that were learnt.
        vocab_size: the number that was asked for.
        min_frequency: as for `vocabulary.create_vocab`.
        limit_alphabet: as for `vocabulary.create_vocab`.
    """
    found = []
    if statistics.unknown_share > MOST_UNKNOWN_SHARE:
        reasons = []
        if statistics.missing_characters:
            examples = " ".join(character for character, _ in statistics.missing_characters.most_common(_EXAMPLES))
            remedy = "a larger `vocab_size`" if num_tokens >= vocab_size else "more text"
            if limit_alphabet is not None:
                remedy = "a larger `limit_alphabet`, or none,"
            reasons.append(
                f"they hold {len(statistics.missing_characters):,} characters that are no tokens, such as {examples}: "
                f"{remedy} keeps more of them"
            )
        if statistics.too_long:
            reasons.append(
                f"{statistics.too_long:,} of them are longer than a word may be: text without "
                "spaces must be cut into words before"
            )
        found.append(
            f"{statistics.unknown_share:.1%} of the words become [UNK], because "
            + ("; and ".join(reasons) or "the held-out words differ from the others: more text helps")
        )
    if num_tokens < vocab_size:
        found.append(
            f"the vocabulary has only {num_tokens:,} tokens of a `vocab_size` of {vocab_size:,}, because no further "
            f"pair of tokens in one word occurs {min_frequency} times in this text (`min_frequency`); an ideograph is "
            "a word of its own. A vocabulary of this size is complete; more text gives a larger one"
            + (", and so does a larger `limit_alphabet`" if limit_alphabet is not None else "")
        )
    return found
