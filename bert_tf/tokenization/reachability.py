"""The tokens of a vocabulary that a tokenizer can never produce, which show that its settings are wrong.

Wrong settings change the ids of most texts without an error.
"""

import re

from bert_tf.tokenization.basic import BasicTokenizer
from bert_tf.tokenization.wordpiece import WordPieceTokenizer

_RESERVED = re.compile(r"\[[^\s\[\]]+\]|<[^\s<>]+>")

# The kinds of unreachable tokens: the least share of the vocabulary that is telling, why they cannot occur, and what
# to change. A vocabulary may hold a few tokens of the other casing, such as letters of mathematics, and published ones
# hold a few words with punctuation.
_KINDS = {
    "case": (
        0.01,
        "`do_lower_case` puts all text in lower case without accents: the vocabulary is cased, so `do_lower_case` "
        "should be false",
    ),
    "accents": (
        0.01,
        "accents are stripped from all text: the vocabulary has accents, so `strip_accents` should be false",
    ),
    "ideographs": (
        0.01,
        "each ideograph is a word of its own: the vocabulary has words of several, so `tokenize_chinese_chars` should "
        "be false",
    ),
    "cut": (
        0.05,
        "text is cut at white space and punctuation, and loses its control characters: the vocabulary is that of "
        "another kind of tokenizer, and no setting helps",
    ),
}


def unreachable_tokens(tokenizer: WordPieceTokenizer) -> dict[str, list[str]]:
    """Return the tokens that no text can yield because of how it is cut into words, by what stands in their way.

    The kinds are `case` (capitals, where all text is lower-cased), `accents`, `ideographs` (several characters, where
    each ideograph is a word) and `cut` (white space, control characters or punctuation inside a token). Continuations
    that are a single ideograph do not count: published vocabularies hold them.

    Args:
        tokenizer: the tokenizer of the vocabulary. Its added and reserved tokens, such as `[unused1]`, do not count.
    """
    added = {token.content for token in tokenizer.options.added_tokens}
    basic = tokenizer.basic_tokenizer
    splits_ideographs = basic.tokenize_chinese_chars
    steps = (
        ("cut", BasicTokenizer(False, strip_accents=False, tokenize_chinese_chars=False)),
        ("ideographs", BasicTokenizer(False, strip_accents=False, tokenize_chinese_chars=splits_ideographs)),
        ("case", BasicTokenizer(basic.do_lower_case, strip_accents=False, tokenize_chinese_chars=splits_ideographs)),
        ("accents", basic),
    )
    found: dict[str, list[str]] = {kind: [] for kind in _KINDS}
    for token in tokenizer.tokens:
        word = token.removeprefix("##")
        if not word or token in added or _RESERVED.fullmatch(token) or basic.words(word) == [word]:
            continue
        found[next(kind for kind, step in steps if step.words(word) != [word])].append(token)
    return found


def vocabulary_warnings(tokenizer: WordPieceTokenizer) -> list[str]:
    """Return a sentence, with arguments in backticks, for each setting of a tokenizer that contradicts its vocabulary.

    Args:
        tokenizer: the tokenizer of the vocabulary.
    """
    tokens = [token for token in tokenizer.tokens if not _RESERVED.fullmatch(token)]
    never = unreachable_tokens(tokenizer)
    if tokenizer.do_lower_case and len(never["case"]) >= _KINDS["case"][0] * len(tokens):
        # A cased vocabulary keeps its accents too, unless `strip_accents` says otherwise.
        never["case"], never["accents"] = never["case"] + never["accents"], []
    found = []
    for kind, (least, reason) in _KINDS.items():
        lost = never[kind]
        if lost and len(lost) >= least * len(tokens):
            examples = ", ".join(token if token.isprintable() else repr(token) for token in lost[:3])
            found.append(
                f"{len(lost):,} of the vocabulary's {len(tokens):,} tokens, such as {examples}, can never occur, "
                f"because {reason}"
            )
    if not tokenizer.do_lower_case:
        lower, capital = (sum(any(map(is_so, token)) for token in tokens) for is_so in (str.islower, str.isupper))
        if capital < _KINDS["case"][0] * lower:
            found.append(
                f"{capital:,} of the vocabulary's {len(tokens):,} tokens hold a capital, so that most words with one "
                "become [UNK]: the vocabulary is uncased, so `do_lower_case` should be true"
            )
    return found
