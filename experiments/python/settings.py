"""The settings that callers give by name, as changes of a configuration."""

from collections.abc import Mapping
from typing import Any, TypeVar

from bert_tf.configs import Config
from bert_tf.configs.experiment_files import with_overrides

_Config = TypeVar("_Config", bound=Config)

ARGUMENTS = {
    "run_dir": "output_dir",
    "model_dir": "output_dir",
    "train_file": "train",
    "eval_file": "evaluation",
    "test_file": "test",
    "train_data": "train",
    "eval_data": "evaluation",
    "vocab_file": "tokenizer",
}
"""The arguments of `finetune` and `pretrain`, by the names that the library and the launchers have for them."""


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def with_settings(config: _Config, *settings: Mapping[str, Any]) -> _Config:
    """Return the configuration with changed fields.

    Args:
        config: the configuration.
        *settings: values of fields by name (`field_of`), each field once.

    Raises:
        ValueError: a field is unknown or occurs twice, or a value is of another type or out of range.
    """
    changes: dict[str, Any] = {}
    for name, value in (item for mapping in settings for item in mapping.items()):
        field = field_of(config, name)
        if field in changes:
            raise ValueError(f"`{field}` must be given once. Received: {changes[field]!r} and {value!r}")
        changes[field] = python_value(value)
    return with_overrides(config, list(changes.items()))


def field_of(config: Config, name: str) -> str:
    """Return the dotted name of a field that is given by its last name or as `epochs` (`Config.field_named`)."""
    return config.field_named("num_epochs" if name == "epochs" else name)


def python_value(value: Any) -> Any:
    """Return a scalar or array of NumPy as a number or list of Python."""
    return value.tolist() if hasattr(value, "tolist") else value
