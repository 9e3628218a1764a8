"""The download of models by name from the Hugging Face hub, with its local cache."""

import os

from bert_tf.conversion.huggingface import CONFIG_FILE, WEIGHT_FILES
from bert_tf.tokenization.published import TOKENIZER_FILES

_TIMEOUT = 3.0
"""Seconds to wait for the hub's first answer."""


def fetch(name: str) -> str:
    """Return the local folder with the files of a repository on the hub, after downloading those not in the cache.

    Without a network (or with `HF_HUB_OFFLINE=1`) only the local cache is searched. `HF_HOME` moves the cache.

    Args:
        name: `owner/name`, or `name` alone for the oldest models, such as `bert-base-uncased`.

    Raises:
        FileNotFoundError: the model cannot be fetched. The message lists the files to download by hand.
    """
    advice = (
        f"Without the hub, put {CONFIG_FILE}, {WEIGHT_FILES[0]} (or {WEIGHT_FILES[2]}) and {TOKENIZER_FILES[0]} of "
        f"https://huggingface.co/{name} into a folder, and give its path"
    )
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError
    except ImportError:
        raise FileNotFoundError(
            f"`path`: no such folder. To fetch a model by its name, install the package huggingface_hub "
            f"(pip install 'bert_tf[hub]'). {advice}. Received: {name!r}"
        ) from None

    local_only = not _answers()

    def file(entry: str) -> str | None:
        try:
            return hf_hub_download(name, entry, local_files_only=local_only)
        except EntryNotFoundError:
            return None

    try:
        config = file(CONFIG_FILE)
        weights = next(filter(None, map(file, (WEIGHT_FILES[0], WEIGHT_FILES[2]))), None) if config else None
        for entry in TOKENIZER_FILES if weights else ():
            file(entry)
    # The package has an exception each for an unknown name, a gated model, a missing network and a full disk.
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise FileNotFoundError(
            f"`path`: no such folder, and it cannot be fetched from the Hugging Face hub ({reason[:300]}). {advice}. "
            f"Received: {name!r}"
        ) from None
    if config is None or weights is None:
        raise FileNotFoundError(
            f"`path`: no such folder, and neither the Hugging Face hub (if it can be reached) nor its local cache has "
            f"{CONFIG_FILE} and weights under this name. {advice}. Received: {name!r}"
        )
    return os.path.dirname(config)


def _answers() -> bool:
    """Return whether the hub can be reached.

    Without this check, the package retries each file for half a minute.
    """
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=_TIMEOUT)
    # Versions of the package use different HTTP libraries, each with its own exceptions.
    except Exception:
        return False
    return True
