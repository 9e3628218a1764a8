"""Experiment files: Python that returns a configuration, or the `config.json` that a run left."""

import runpy
import traceback
from typing import TypeVar

from bert_tf.configs import Config, ConfigError
from bert_tf.utils import files

_Config = TypeVar("_Config", bound=Config)


def load_config(path: str, kind: type[_Config], overrides: list[str]) -> _Config:
    """The configuration that the experiment file `path` returns, or a run's `config.json` holds, with `overrides` made.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be run, has no get_config(), or that returns another kind; an override is wrong.
    """
    if not files.exists(path):
        raise FileNotFoundError(f"--config must be an experiment file. Received: {path!r}")
    config = _from_run(path, kind) if path.endswith(".json") else _from_experiment(path, kind)
    return _with_overrides(config, overrides)


def _with_overrides(config: _Config, overrides: list[str]) -> _Config:
    """`config` with all overrides: fields bound each other (width and heads), and may be given in any order."""
    waiting = overrides
    while waiting:
        refused = []
        errors = []
        for assignment in waiting:
            try:
                config = config.override(assignment)
            except ConfigError as error:
                refused.append(assignment)
                errors.append(error)
        if len(refused) == len(waiting):
            raise errors[0]
        waiting = refused
    return config


def _from_run(path: str, kind: type[_Config]) -> _Config:
    description = files.read_json(path)
    experiment = description.get("experiment") if isinstance(description, dict) else None
    if not isinstance(experiment, dict):
        raise ValueError(f"--config must be an experiment file or a run's config.json. Received: {path!r}")
    try:
        return kind.from_dict(experiment)
    except ConfigError as error:
        raise ConfigError(f"--config {path}: {error}") from None


def _from_experiment(path: str, kind: type[_Config]) -> _Config:
    # The file is the user's, and a misspelt field in it is a TypeError: whatever it raises is told in one line.
    try:
        get_config = runpy.run_path(path).get("get_config")
        config = get_config() if get_config is not None else None
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        place = f", line {frames[-1].lineno}" if frames else ""
        raise ValueError(f"--config {path}{place}: {type(error).__name__}: {error}") from error
    if get_config is None:
        raise ValueError(f"--config must define get_config(). Received: {path!r}")
    if not isinstance(config, kind):
        raise ValueError(
            f"--config must return a {kind.__name__} here; this one returns a {type(config).__name__}. "
            f"Received: {path!r}"
        )
    return config
