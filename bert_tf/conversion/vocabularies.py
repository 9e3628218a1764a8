"""The change of a model's vocabulary: rows of the table of embeddings and of the head's bias move with their tokens."""

import dataclasses

import numpy as np

from bert_tf.conversion.pretrained import Pretrained
from bert_tf.tokenization.vocab_files import read_vocab_file
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files

_TABLE = "encoder/embeddings/word_embeddings/embeddings"
_BIAS = "masked_lm/output_bias"
_LEAST_SHARE = 0.5


def with_vocabulary(pretrained: Pretrained, vocab_file: str) -> Pretrained:
    """Return the model for another vocabulary, such as one of `vocabulary_extension.extend_vocab`.

    A token of both vocabularies keeps its embedding and its bias, whatever its ids. A new token starts from the mean of
    the embeddings, and of the biases, of the old tokens that stood for it; one that was `[UNK]` from the mean of all
    old tokens. The logits of old tokens for texts of old tokens are therefore the same numbers as before.

    Args:
        pretrained: the model, with its vocabulary.
        vocab_file: the new vocabulary, with one token on each line.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the model has no vocabulary, the new one lacks a special or an added token, or half of its tokens or
            more are not the model's.
    """
    if not files.exists(vocab_file):
        raise FileNotFoundError(f"`vocab_file` must be a file that exists. Received: {vocab_file!r}")
    old = pretrained.tokenizer()
    tokens = read_vocab_file(vocab_file)
    new = WordPieceTokenizer.from_tokens(tokens, old.do_lower_case, old.options)
    index_of = {token: index for index, token in enumerate(old.tokens) if token}
    shared = sum(token in index_of for token in new.tokens)
    if shared <= _LEAST_SHARE * len(new):
        raise ValueError(
            f"`vocab_file` must extend or reduce the vocabulary of {pretrained.source}: more than half of its tokens "
            f"must be the model's. Received: {vocab_file!r}, of whose {len(new)} tokens {shared} are"
        )
    sources = [_sources(token, old, index_of) for token in new.tokens]
    weights = dict(pretrained.weights)
    for name in (_TABLE, _BIAS):
        if name in weights:
            weights[name] = _means(weights[name], sources, len(old))
    config = pretrained.config.replace(vocab_size=len(new))
    return dataclasses.replace(pretrained, config=config, weights=weights, tokens=tuple(new.tokens))


def _sources(token: str, old: WordPieceTokenizer, index_of: dict[str, int]) -> list[int]:
    """Return the ids of the old tokens whose mean a token starts from; [] for all of them."""
    if token in index_of:
        return [index_of[token]]
    ids = old.ids_of_token(token) if token else []
    return [] if old.unk_id in ids else ids


def _means(values: np.ndarray, sources: list[list[int]], num_old: int) -> np.ndarray:
    """Return the mean of the old rows of each new token, float32 [new V, ...], of values [at least old V, ...]."""
    everything = values[:num_old].mean(axis=0, dtype=np.float64)
    rows = [values[ids].mean(axis=0, dtype=np.float64) if ids else everything for ids in sources]
    return np.asarray(rows, values.dtype)
