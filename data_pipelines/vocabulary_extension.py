"""The extension of a published vocabulary by the words of a domain, and its reduction to the tokens that a corpus uses.

old vocabulary, documents -> word counts -> candidates -> those that save the most tokens -> `[unusedN]` places, then
the end
"""

import collections
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence

from bert_tf.tokenization.vocabulary import SPECIAL_TOKENS
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from data_pipelines.corpora.documents import Document
from data_pipelines.vocabulary import learn_vocab
from data_pipelines.vocabulary_fit import vocabulary_statistics
from data_pipelines.word_counts import CountWords, count_words

KEEP = ("all", "used")
"""The part of the old vocabulary that is kept: all tokens, with their ids, or those that the documents use."""

_CANDIDATES = 8

UNUSED = re.compile(r"\[unused\d+\]")


def extend_vocab(
    documents: Iterable[Document],
    tokenizer: WordPieceTokenizer,
    num_new: int,
    *,
    keep: str = "all",
    output: str | None = None,
    min_frequency: int = 2,
    holdout: float = 0.0,
    num_workers: int = 1,
    count: CountWords = count_words,
    report: Callable[[str], None] = print,
    warn: Callable[[str], None] = warnings.warn,
) -> list[str]:
    """Return a vocabulary with new tokens learnt from documents, and report how well both fit.

    The new tokens are those that save the most tokens in the documents. They take the places of the tokens `[unusedN]`,
    and the rest follows at the end, so that the ids of all other tokens stay the same. With `keep="used"` the tokens
    that no document uses are left out first; special tokens and added tokens stay.

    Args:
        documents: the documents of the domain, which are read once.
        tokenizer: the tokenizer of the old vocabulary, whose rules cut the documents into words.
        num_new: the largest number of new tokens; 0 with `keep="used"` for a smaller vocabulary.
        keep: one of `KEEP`.
        output: the file to write, with one token on each line, which appears whole or not at all; None for no file.
        min_frequency: a pair of tokens that occurs less often becomes no new token, as for `create_vocab`.
        holdout: the share of held-out documents, from which nothing is learnt.
        num_workers: the number of processes that count words; 0 for one a core.
        count: as for `create_vocab`.
        report: the function that receives lines of text about the counts and the fit.
        warn: the function that receives a warning if there are fewer new tokens than asked for.

    Raises:
        ValueError: an argument is out of range, or the documents hold no word.
        OSError: `output` cannot be written.
    """
    if keep not in KEEP:
        raise ValueError(f"`keep` must be one of {', '.join(KEEP)}. Received: {keep!r}")
    if num_new < (least := 1 if keep == "all" else 0):
        raise ValueError(f"`num_new` must be at least {least} for `keep` {keep}. Received: {num_new}")
    lower_case, options = tokenizer.do_lower_case, tokenizer.options
    counts = count(documents, do_lower_case=lower_case, options=options, holdout=holdout, num_workers=num_workers)
    report(f"counted {counts.words.total():,} words, {len(counts.words):,} distinct, in {counts.documents:,} documents")
    kept = list(tokenizer.tokens) if keep == "all" else used_tokens(tokenizer, counts.words)
    new = new_tokens(tokenizer, counts.words, num_new, min_frequency=min_frequency) if num_new else []
    if len(new) < num_new:
        warn(f"`num_new` {num_new} is more than the documents give: {len(new)} tokens save any")
    tokens = with_new_tokens(kept, new)
    for name, some in (("old", tokenizer.tokens), ("new", tokens)):
        statistics = vocabulary_statistics(some, counts.sample_words, lower_case, options=options)
        report(f"{name} vocabulary of {len(some):,} tokens: {statistics}")
    if output is not None:
        files.write_text(output, "".join(token + "\n" for token in tokens))
    return tokens


def used_tokens(tokenizer: WordPieceTokenizer, counts: Mapping[str, int]) -> list[str]:
    """Return the tokens that the words use, and those that no text yields (special and added ones), by their old ids.

    The characters of the words stay too, and those of ASCII, so that other words have tokens. `[unusedN]` does not.

    Args:
        tokenizer: the tokenizer of the old vocabulary.
        counts: the number of times that each word occurs.
    """
    used = {index for ids in tokenizer.encode_batch(counts) for index in ids}
    fixed = {*SPECIAL_TOKENS, *(token.content for token in tokenizer.options.added_tokens)}
    characters = {*map(chr, range(128)), *(character for word in counts for character in word)}
    return [
        token
        for index, token in enumerate(tokenizer.tokens)
        if token and (index in used or token in fixed or token.removeprefix("##") in characters)
    ]


def new_tokens(
    tokenizer: WordPieceTokenizer, counts: Mapping[str, int], num_new: int, *, min_frequency: int = 2
) -> list[str]:
    """Return the new tokens that save the most tokens in the counted words, those that save more first.

    Eight times as many candidates are learnt as a vocabulary of their own (`learn_vocab`). The words are encoded with
    old tokens and candidates together. Each time it occurs, a candidate saves the tokens that the old vocabulary needs
    in its place, less one; where the old vocabulary has only `[UNK]`, it saves its characters. The quarter that saves
    the least is left out, and so on until `num_new` candidates are left: parts of words that are left out are then
    counted anew.

    Args:
        tokenizer: the tokenizer of the old vocabulary.
        counts: the number of times that each word occurs.
        num_new: the largest number of tokens to return.
        min_frequency: as for `learn_vocab`.
    """
    old = set(tokenizer.tokens)
    characters = {character for word in counts for character in word}
    learnt = learn_vocab(
        counts,
        _CANDIDATES * num_new + 2 * len(characters) + len(SPECIAL_TOKENS),
        do_lower_case=tokenizer.do_lower_case,
        options=tokenizer.options,
        min_frequency=min_frequency,
    )
    candidates = [token for token in learnt if token not in old]
    while True:
        saved = _tokens_saved(tokenizer, candidates, counts)
        candidates = sorted((token for token in candidates if saved[token] > 0), key=lambda token: -saved[token])
        if len(candidates) <= num_new:
            return candidates
        candidates = candidates[: max(num_new, len(candidates) * 3 // 4)]


def _tokens_saved(
    tokenizer: WordPieceTokenizer, candidates: Sequence[str], counts: Mapping[str, int]
) -> dict[str, int]:
    """Return how many tokens each candidate saves in the counted words, if all candidates are new tokens."""
    both = WordPieceTokenizer.from_tokens([*tokenizer.tokens, *candidates], tokenizer.do_lower_case, tokenizer.options)
    uses: collections.Counter[int] = collections.Counter()
    for ids, count in zip(both.encode_batch(counts), counts.values(), strict=True):
        for index in ids:
            uses[index] += count
    saved = {}
    for number, token in enumerate(candidates):
        ids = tokenizer.ids_of_token(token)
        fewer = len(token.removeprefix("##")) if tokenizer.unk_id in ids else len(ids) - 1
        saved[token] = uses[len(tokenizer.tokens) + number] * fewer
    return saved


def with_new_tokens(tokens: Sequence[str], new: Sequence[str]) -> list[str]:
    """Return a vocabulary with new tokens in the places of `[unusedN]`, in their order, and then at its end."""
    found = list(tokens)
    places = [index for index, token in enumerate(found) if UNUSED.fullmatch(token)][: len(new)]
    for index, token in zip(places, new, strict=False):
        found[index] = token
    return [*found, *new[len(places) :]]
