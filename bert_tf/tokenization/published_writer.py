"""The files of a tokenizer that `transformers` loads. Their reader is `tokenization.published`."""

import dataclasses
import json
import os
from typing import Any

from bert_tf.tokenization.options import AddedToken
from bert_tf.tokenization.published import (
    ADDED_FILE,
    CONFIG_FILE,
    FAST_FILE,
    MAP_FILE,
    ROLES,
    VOCAB_FILE,
    looks_uncased,
)
from bert_tf.tokenization.sources import described_hash, find_tokenizer
from bert_tf.tokenization.vocabulary import SPECIAL_TOKENS, Vocabulary
from bert_tf.utils import files


def save_tokenizer(tokenizer: Vocabulary, max_length: int | None, folder: str) -> None:
    """Write a tokenizer into a folder, which may be new or hold a model.

    Args:
        tokenizer: the tokenizer.
        max_length: the largest number of tokens in a row; None to state no number.
        folder: the folder.

    Raises:
        OSError: a file cannot be written.
        ValueError: other files of the folder make its reader expect another tokenizer.
    """
    files.make_folder(folder)
    if described_hash(folder) not in (None, tokenizer.vocab_hash):
        raise ValueError(f"`folder` must not be that of a run with another tokenizer. Received: {folder!r}")
    write_tokenizer(tokenizer, max_length, folder)
    read = find_tokenizer(folder)
    for name, wanted, found in (
        ("tokens", tokenizer.tokens, read.tokens),
        ("do_lower_case", tokenizer.do_lower_case, read.do_lower_case),
        ("options", tokenizer.options, read.options),
    ):
        if read.problem or wanted != found:
            raise ValueError(
                f"{folder}: the folder must hold no other files by which it is read as another tokenizer. "
                f"Received: {read.problem or f'files that change `{name}`'}"
            )


def write_tokenizer(tokenizer: Vocabulary, max_seq_length: int | None, folder: str) -> None:
    """Write the vocabulary and the settings of a tokenizer for `transformers`, old and new.

    Args:
        tokenizer: the tokenizer.
        max_seq_length: the largest number of tokens in a row; None to state no number.
        folder: the folder to write into.

    Raises:
        OSError: a file cannot be written.
    """
    write_vocabulary(tokenizer, folder)
    settings = _settings(tokenizer)
    if max_seq_length is not None:
        settings["model_max_length"] = max_seq_length
    special = [token.content for token in tokenizer.options.added_tokens if token.special]
    roles: dict[str, Any] = ROLES | ({"additional_special_tokens": special} if special else {})
    files.write_json(os.path.join(folder, CONFIG_FILE), settings | roles)
    files.write_json(os.path.join(folder, MAP_FILE), roles)
    files.write_json(os.path.join(folder, FAST_FILE), json.loads(fast_tokenizer(tokenizer).to_str()))
    only_added = {token: number for number, token in _only_added(tokenizer).items()}
    added_file = os.path.join(folder, ADDED_FILE)
    if only_added:
        files.write_json(added_file, only_added)
    elif files.exists(added_file):
        files.remove(added_file)  # those of another tokenizer


def write_vocabulary(tokenizer: Vocabulary, folder: str) -> None:
    """Write `vocab.txt` with the tokens of WordPiece.

    Raises:
        OSError: the file cannot be written.
    """
    tokens = tokenizer.tokens[: tokenizer.vocab_size - len(_only_added(tokenizer))]
    files.write_text(os.path.join(folder, VOCAB_FILE), "".join(f"{token}\n" for token in tokens))


def write_settings(tokenizer: Vocabulary, folder: str) -> None:
    """Write `tokenizer_config.json` if `vocab.txt` alone would be read as another tokenizer.

    Raises:
        OSError: the file cannot be written.
    """
    if tokenizer.options.changes() or looks_uncased(tokenizer.tokens) != tokenizer.do_lower_case:
        files.write_json(os.path.join(folder, CONFIG_FILE), _settings(tokenizer))


def _settings(tokenizer: Vocabulary) -> dict[str, Any]:
    options = tokenizer.options
    settings: dict[str, Any] = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": tokenizer.do_lower_case,
        "tokenize_chinese_chars": options.tokenize_chinese_chars,
        "strip_accents": options.strip_accents,
    }
    if "max_input_chars_per_word" in options.changes():
        settings["max_input_chars_per_word"] = options.max_input_chars_per_word
    if options.added_tokens:
        special = {
            index: AddedToken(token, normalized=False, special=True)
            for index, token in zip(tokenizer.special_ids, SPECIAL_TOKENS, strict=True)
        }
        settings["added_tokens_decoder"] = {
            str(index): _flags(token) for index, token in sorted((special | _added(tokenizer)).items())
        }
    return settings


def _added(tokenizer: Vocabulary) -> dict[int, AddedToken]:
    return dict(zip(tokenizer.added_ids, tokenizer.options.added_tokens, strict=True))


def _flags(token: AddedToken) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(token).items() if name != "in_wordpiece"}


def _only_added(tokenizer: Vocabulary) -> dict[int, str]:
    """Return the added tokens at the end of the vocabulary that words do not yield, by id."""
    added = _added(tokenizer)
    first = tokenizer.vocab_size
    while first - 1 in added and not added[first - 1].in_wordpiece:
        first -= 1
    return {index: added[index].content for index in range(first, tokenizer.vocab_size)}


def fast_tokenizer(tokenizer: Vocabulary) -> Any:
    """Return an equal tokenizer of the `tokenizers` library, which `transformers` loads from `tokenizer.json`.

    It gives the same ids, except that it uses newer Unicode tables and parses special tokens in texts.
    """
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

    # The library counts the tokens to number the next one, so that ids without a token need one.
    last = {token: index for index, token in enumerate(tokenizer.tokens)}
    words = tokenizer.tokens[: tokenizer.vocab_size - len(_only_added(tokenizer))]
    ids = {
        token if token and last[token] == index else f"not a word {index}": index for index, token in enumerate(words)
    }
    options = tokenizer.options
    limit = options.max_input_chars_per_word
    fast = tokenizers.Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=limit))
    fast.normalizer = normalizers.BertNormalizer(
        handle_chinese_chars=options.tokenize_chinese_chars,
        strip_accents=options.strip_accents,
        lowercase=tokenizer.do_lower_case,
    )
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.post_processor = processors.BertProcessing(("[SEP]", tokenizer.sep_id), ("[CLS]", tokenizer.cls_id))
    fast.decoder = decoders.WordPiece()
    fast.add_special_tokens([tokenizers.AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    for _, token in sorted(_added(tokenizer).items()):
        add = fast.add_special_tokens if token.special else fast.add_tokens
        add([tokenizers.AddedToken(**_flags(token))])
    return fast
