"""The settings of Sentence Transformers, stored beside the files of Hugging Face's BERT.

```
modules.json  sentence_bert_config.json  1_Pooling/config.json  [config.json  model.safetensors ... of the encoder]
```
"""

import dataclasses
import os
from typing import Any

from bert_tf.utils import files

_MODULES_FILE = "modules.json"
_LENGTH_FILE = "sentence_bert_config.json"
_POOLING_FOLDER = "1_Pooling"
_POOLINGS = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}


@dataclasses.dataclass(frozen=True)
class SentenceSettings:
    """The way in which a text becomes a vector.

    Attributes:
        pooling: `mean` or `cls`, as in `models.pooling.text_vectors`.
        normalize: whether vectors are scaled to length 1.
        max_seq_length: number of tokens in a row; None if the folder does not state it.
        encoder_dir: the folder that holds the encoder; None for settings that are not from a folder.
    """

    pooling: str
    normalize: bool
    max_seq_length: int | None = None
    encoder_dir: str | None = None


def is_folder(path: str) -> bool:
    """Return whether `path` looks like a folder of Sentence Transformers."""
    return files.exists(os.path.join(path, _MODULES_FILE))


def read_settings(path: str) -> SentenceSettings:
    """Return the settings of a folder.

    The vectors must be the mean or the `[CLS]` vector of the encoder's output, normalized or not.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or the vectors are computed in another way.
    """
    file = os.path.join(path, _MODULES_FILE)
    modules = files.read_json(file)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ValueError(f"{file} must hold a list of modules. Received: {modules!r:.100}")
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ValueError(f"{file} must name a Transformer, a Pooling and perhaps Normalize. Received: {kinds}")
    encoder_dir = os.path.join(path, str(modules[0].get("path", ""))).rstrip("/")
    pooling_file = os.path.join(path, str(modules[1].get("path", "")), "config.json")
    settings = _object(pooling_file)
    modes = [name for name, value in settings.items() if name.startswith("pooling_mode_") and value is True]
    # Later versions (6.2) write the name instead: "pooling_mode": "mean".
    named = settings.get("pooling_mode")
    pooling = named if named in _POOLINGS.values() else _POOLINGS.get(modes[0]) if len(modes) == 1 else None
    if pooling is None:
        raise ValueError(f"{pooling_file} must choose one of {', '.join(_POOLINGS)}. Received: {named or modes}")
    length_file = os.path.join(encoder_dir, _LENGTH_FILE)
    length = _object(length_file).get("max_seq_length") if files.exists(length_file) else None
    if length is not None and (not isinstance(length, int) or length < 3):
        raise ValueError(f"{length_file}: `max_seq_length` must be a whole number of at least 3. Received: {length!r}")
    return SentenceSettings(pooling, kinds[-1] == "Normalize", length, encoder_dir)


def write_settings(settings: SentenceSettings, hidden_size: int, folder: str) -> None:
    """Write the files that make the folder of an encoder one of Sentence Transformers.

    Args:
        settings: the settings; `encoder_dir` is not used.
        hidden_size: size of a vector.
        folder: the folder of the encoder.

    Raises:
        OSError: the folder cannot be written.
    """
    steps = [("Transformer", ""), ("Pooling", _POOLING_FOLDER)]
    steps += [("Normalize", "2_Normalize")] if settings.normalize else []
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(steps)
    ]
    modes = {name: pooling == settings.pooling for name, pooling in _POOLINGS.items()}
    files.make_folder(os.path.join(folder, _POOLING_FOLDER))
    if settings.normalize:
        files.make_folder(os.path.join(folder, "2_Normalize"))  # empty, but Sentence Transformers expects it
    files.write_json(
        os.path.join(folder, _POOLING_FOLDER, "config.json"), {"word_embedding_dimension": hidden_size} | modes
    )
    length = {} if settings.max_seq_length is None else {"max_seq_length": settings.max_seq_length}
    # The tokenizer has its own setting of lower-casing.
    files.write_json(os.path.join(folder, _LENGTH_FILE), length | {"do_lower_case": False})
    files.write_json(os.path.join(folder, _MODULES_FILE), modules)


def _object(file: str) -> dict[str, Any]:
    value = files.read_json(file)
    if not isinstance(value, dict):
        raise ValueError(f"{file} must hold a JSON object. Received: a {type(value).__name__}")
    return value
