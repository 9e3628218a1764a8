"""The download of models by name from the Hugging Face hub."""

from bert_tf.conversion.huggingface import CONFIG_FILE
from bert_tf.conversion.weight_files import WEIGHT_FILES, parts_of
from bert_tf.tokenization.published import TOKENIZER_FILES
from bert_tf.utils.hub import Repository


def fetch(name: str) -> str:
    """Return the local folder with the files of a repository on the hub, after downloading those not in the cache.

    Args:
        name: `owner/name`, or `name` alone for the oldest models, such as `bert-base-uncased`.

    Raises:
        FileNotFoundError: the model cannot be fetched. The message lists the files to download by hand.
        ValueError: the index of weights in several files is damaged.
    """
    first, *others = (file for file in WEIGHT_FILES if not file.endswith(".json"))
    repository = Repository(name, f"{CONFIG_FILE}, {first} (or {' or '.join(others)}) and {TOKENIZER_FILES[0]}")
    config = repository.file(CONFIG_FILE)
    weights = next(filter(None, map(repository.file, WEIGHT_FILES)), None) if config else None
    for entry in (*TOKENIZER_FILES, *parts_of(weights)) if weights else ():
        if entry not in WEIGHT_FILES:
            repository.file(entry)
    return repository.folder_of(weights and config, f"{CONFIG_FILE} and weights")
