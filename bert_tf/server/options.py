"""The settings of a server."""

import dataclasses
from collections.abc import Mapping, Sequence

from bert_tf.utils import files


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """The settings of a server.

    Attributes:
        max_request_bytes: the largest body of a request.
        max_texts: the largest number of texts in a request.
        max_characters: the largest number of UTF-8 bytes in a text.
        max_requests: the number of requests held at a time; more are refused with 503.
        timeout: seconds after which a request ends with an error: 408 if it has not arrived, 504 if it has no answer.
        max_batch_texts: the largest number of texts that are computed together.
        latency_budget: seconds that a batch of several requests is expected to take at most.
        max_queue_texts: the number of texts that wait for the model; more are refused with 429.
        parallel: the number of threads that run models. TensorFlow uses all cores in each of them.
        api_keys: keys, one of which a request must have; without any, every request is answered.
        poll_seconds: the time between two looks for new versions.
        access_log: the file of the access log; "-" for standard error; None for none.
        cors_origins: the origins of pages in browsers that may ask; none by default.
    """

    max_request_bytes: int = 8 * 2**20
    max_texts: int = 1024
    max_characters: int = 100_000
    max_requests: int = 512
    timeout: float = 30.0
    max_batch_texts: int = 64
    latency_budget: float = 0.5
    max_queue_texts: int = 4096
    parallel: int = 1
    poll_seconds: float = 1.0
    access_log: str | None = None
    api_keys: Sequence[str] = ()
    cors_origins: Sequence[str] = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not value > 0:
                raise ValueError(f"`{field.name}` must be above 0. Received: {value}")


def read_api_keys(path: str) -> list[str]:
    """Return the keys of a file that holds one a line.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds no keys, or a key that headers cannot hold.
    """
    keys = [line.strip() for line in files.read_text(path).splitlines() if line.strip()]
    if not keys:
        raise ValueError(f"`api_key_file` must hold a key on each line. Received: {path!r}, which holds none")
    for number, key in enumerate(keys, 1):
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError(f"{path}, key {number}: a key must be printable ASCII without spaces")
    return keys


def parse_models(texts: Sequence[str]) -> dict[str, str]:
    """Return the folders of models by name, from texts such as `a=DIR`.

    Raises:
        ValueError: a text has another form, or a name occurs twice or cannot be in a path.
    """
    folders: dict[str, str] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals or not folder or not is_name(name) or name in folders:
            raise ValueError(
                f"`models` must be NAME=FOLDER, each name once and without '/' and ':'. Received: {text!r}"
            )
        folders[name] = folder
    return folders


def parse_labels(texts: Sequence[str], models: Sequence[str]) -> Mapping[str, dict[str, int]]:
    """Return the labels of versions for each model, from texts such as `stable=1` or, for one of several, `a:stable=1`.

    Args:
        texts: the texts.
        models: the names of the models.

    Raises:
        ValueError: a text has another form, or names no model.
    """
    labels: dict[str, dict[str, int]] = {name: {} for name in models}
    for text in texts:
        key, _, number = text.rpartition("=")
        model, _, label = key.rpartition(":")
        model = model or (models[0] if len(models) == 1 else "")
        if model not in labels or not is_name(label) or not (number.isascii() and number.isdecimal()):
            raise ValueError(
                f"`labels` must be LABEL=VERSION, or MODEL:LABEL=VERSION for one of several models. Received: {text!r}"
            )
        labels[model][label] = int(number)
    return labels


def name_models(models: Sequence[str], labels: Sequence[str]) -> list[tuple[str, str, Mapping[str, int]]]:
    """Return the name, the folder and the labels of each model. Arguments and errors are those of the parsers."""
    folders = parse_models(models)
    of_model = parse_labels(labels, list(folders))
    return [(name, folder, of_model[name]) for name, folder in folders.items()]


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a model or a label in a path."""
    return bool(text) and text.isprintable() and not set(text) & set("/:")
