"""The upload of models to the Hugging Face hub."""

import os
import tempfile
from collections.abc import Sequence
from typing import Any

from bert_tf.conversion import folders, huggingface
from bert_tf.conversion.hub_card import CARD_FILE, ModelCard
from bert_tf.conversion.loading import read_pretrained
from bert_tf.conversion.pretrained import Pretrained
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from bert_tf.utils.hub import Upload


def push_to_hub(
    model: Any,
    repo_id: str,
    *,
    tokenizer: WordPieceTokenizer | None = None,
    labels: Sequence[str] = (),
    card: ModelCard | None = None,
    token: str | None = None,
    private: bool = False,
    commit_message: str = "Upload a model of bert_tf",
) -> str:
    """Upload a model to the Hugging Face hub, in the form that `save_pretrained` writes for `transformers`.

    >>> card = ModelCard(license="apache-2.0", language="en")
    >>> push_to_hub("runs/classifier", "someone/my-classifier", card=card)  # doctest: +SKIP

    Args:
        model: any model of `bert_tf.models`, or the path of a run or of weights, as in `loading.read_pretrained`.
        repo_id: the repository, `owner/name`, or `name` alone for one of your own. It is made if it is missing.
        tokenizer: the tokenizer of a model's vocabulary. A path has its own.
        labels: names of a model's classes, by id. A path has its own.
        card: what the page says beside what follows from the model. None leaves the `README.md` of a folder of
            Hugging Face as it is.
        token: the access token; None for the one that `hf auth login` stored, or that of `HF_TOKEN`.
        private: whether only you may see the repository.
        commit_message: the message of the commit.

    Returns:
        The address of the commit.

    Raises:
        FileNotFoundError: `model` is a path, and nothing has this name.
        ImportError: huggingface_hub is not installed.
        ValueError: there is no token, `repo_id` is no name, `transformers` does not support such a model, or files are
            damaged.
        OSError: the hub cannot be reached or refuses the upload, or the repository is public and `private` is True.
    """
    is_path = isinstance(model, str | os.PathLike)
    if is_path and (tokenizer is not None or labels):
        raise ValueError(
            f"`tokenizer` and `labels` must be left out for a path, which has its own. Received: {os.fspath(model)!r}"
        )
    upload = Upload(repo_id, token)
    pretrained = read_pretrained(model) if is_path else Pretrained.of_model(model, tokenizer, labels)
    page = None if card is not None or not is_path else _page_of(os.fspath(model))
    with tempfile.TemporaryDirectory() as temporary:
        folder = os.path.join(temporary, "model")
        huggingface.write(pretrained, folder, card or ModelCard(), hub_name=upload.name)
        if page is not None:
            files.write_text(os.path.join(folder, CARD_FILE), page)
        return upload.folder(folder, private=private, commit_message=commit_message)


def _page_of(path: str) -> str | None:
    """Return the page of a folder of Hugging Face; None if it has none."""
    has_page = huggingface.is_folder(path) and folders.has(path, CARD_FILE)
    return files.read_text(os.path.join(path, CARD_FILE)) if has_page else None
