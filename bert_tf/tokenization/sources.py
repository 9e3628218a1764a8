"""The places where a tokenizer may be: a folder, a vocabulary file, a run, or a repository on the Hugging Face hub."""

import os

from bert_tf.tokenization.options import TokenizerOptions
from bert_tf.tokenization.published import (
    CONFIG_FILE,
    FAST_FILE,
    MODEL_FILE,
    TOKENIZER_FILES,
    VOCAB_FILE,
    PublishedTokenizer,
    json_object,
    looks_uncased,
    read_tokenizer,
)
from bert_tf.tokenization.vocab_files import read_vocab_file, vocab_hash
from bert_tf.utils import files
from bert_tf.utils.hub import Repository, is_name


def find_tokenizer(path: str | os.PathLike[str]) -> PublishedTokenizer:
    """Read the tokenizer of a folder, of a vocabulary file or of a repository on the Hugging Face hub.

    A run's folder and `assets` of an export state the settings in `config.json`. A vocabulary file is read with the
    settings beside it if it is one of a folder's files, else with the casing that its tokens show.

    Raises:
        FileNotFoundError: there is no such folder or file, and nothing on the hub (if it can be reached).
        ValueError: a file is damaged.
    """
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"`path` must be a folder, a file or a name. Received: {path!r:.100}")
    path = os.fspath(path).rstrip("/")
    if path.startswith("hf://"):
        return read_tokenizer(_fetch(path.removeprefix("hf://")))
    if files.exists(path) and not files.is_folder(path):
        folder, name = os.path.split(path)
        if name != VOCAB_FILE or not any(
            files.exists(os.path.join(folder, one)) for one in (*TOKENIZER_FILES[1:], MODEL_FILE)
        ):
            tokens = tuple(read_vocab_file(path))
            return PublishedTokenizer(tokens, looks_uncased(tokens))
        path = folder
    elif not files.exists(path):
        if not is_name(path):
            raise FileNotFoundError(
                f"`path`: no such file or folder, and not the name of a model on a hub. Received: {path!r}"
            )
        return read_tokenizer(_fetch(path))
    return read_tokenizer(path) if described_hash(path) is None else _read_described(path)


def described_hash(folder: str) -> str | None:
    """Return the hash of the vocabulary that the description of a run or an export states; None for other folders."""
    return json_object(os.path.join(folder, MODEL_FILE)).get("vocab_hash")


def _fetch(name: str) -> str:
    """Return the local folder with the tokenizer's files of a repository on the hub."""
    repository = Repository(name, f"{VOCAB_FILE} and {CONFIG_FILE}")
    found = {entry: repository.file(entry) for entry in (*TOKENIZER_FILES, MODEL_FILE)}
    return repository.folder_of(found[VOCAB_FILE] or found[FAST_FILE], VOCAB_FILE)


def _read_described(folder: str) -> PublishedTokenizer:
    """Read the tokenizer of a run or an export, whose description states its settings."""
    description = json_object(os.path.join(folder, MODEL_FILE))
    tokens = read_vocab_file(os.path.join(folder, VOCAB_FILE))
    options = TokenizerOptions.from_dict(description.get("tokenizer_options") or {})
    if vocab_hash(tokens, options) != description["vocab_hash"]:
        raise ValueError(f"{folder}: {VOCAB_FILE} must be the vocabulary that {MODEL_FILE} describes by its hash")
    return PublishedTokenizer(tuple(tokens), description.get("do_lower_case") is not False, options)
