"""The tokens that a model may generate, and their text.

Shapes: V vocabulary.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from bert_tf.tokenization.detokenization import detokenized
from bert_tf.tokenization.wordpiece import SEP, WordPieceTokenizer

_UNUSED = re.compile(r"\[unused\d+\]")


def generated_tokens(tokenizer: WordPieceTokenizer, vocab_size: int) -> np.ndarray:
    """Return which tokens may be generated, bool [V]: neither special nor unused ones nor `[UNK]`, but `[SEP]`.

    Args:
        tokenizer: the tokenizer.
        vocab_size: V of the model, which may have more embeddings than the vocabulary has tokens.
    """
    allowed = np.zeros(vocab_size, bool)
    allowed[: len(tokenizer)] = [bool(token) and not _UNUSED.fullmatch(token) for token in tokenizer.tokens]
    allowed[[tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.mask_id]] = False
    return allowed


def generated_text(tokens: Sequence[str], ids: Iterable[int]) -> str:
    """Return the text of a generated target, with or without `[SEP]` at its end.

    Args:
        tokens: the tokens of the vocabulary.
        ids: the ids of the target.
    """
    return detokenized(tokens[index] for index in ids if tokens[index] != SEP)
