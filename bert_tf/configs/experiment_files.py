"""The experiments, by name or as files: Python that returns a configuration, or the `config.json` of a run."""

import ast
import difflib
import importlib.util
import os
import runpy
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from bert_tf.configs import Config, ConfigError
from bert_tf.utils import files
from bert_tf.utils.arguments import keeping_names

_Config = TypeVar("_Config", bound=Config)

# The folder is found by its name, since this package does not import the launchers.
_EXPERIMENTS_PACKAGE = "experiments.configs"


class Experiment(NamedTuple):
    """An experiment file as a list shows it.

    Attributes:
        name: the file's name without `.py`, as `load_config` takes it.
        kind: the class of configuration that the file's `get_config` is annotated to return, in lower case and without
            `Config`: `pretraining` or `finetuning`; "" without an annotation.
        summary: first line of the file's docstring; "" without one.
    """

    name: str
    kind: str
    summary: str


def default_folder() -> str | None:
    """Return the folder of the experiments that are installed beside this package, or None if there is none."""
    try:
        spec = importlib.util.find_spec(_EXPERIMENTS_PACKAGE)
    except ModuleNotFoundError:
        return None
    locations = list(spec.submodule_search_locations or ()) if spec is not None else []
    return locations[0] if locations else None


def list_experiments(folder: str | None = None) -> list[Experiment]:
    """Return the experiments of a folder, by name, from the text of their files, which are not run.

    Files whose names start with an underscore are not experiments.

    Args:
        folder: the folder; None for `default_folder()`.

    Raises:
        OSError: the folder or a file cannot be read.
        ValueError: a file is not UTF-8, or not Python; the message names it.
    """
    folder = folder or default_folder()
    return [] if folder is None else [_described(folder, name) for name in _names(folder)]


def load_config(
    config: str, kind: type[_Config], overrides: Sequence[str] = (), *, folder: str | None = None
) -> _Config:
    """Load an experiment's configuration and change fields of it.

    Args:
        config: the name of an experiment (`bert_base`), the path of an experiment file, or that of a run's
            `config.json`. An experiment file is Python; its function `get_config()` returns the configuration.
        kind: the class of the configuration.
        overrides: changes such as `train.num_steps=1000`, in any order (`Config.override`).
        folder: the folder of the experiments that have names; None for `default_folder()`.

    Raises:
        FileNotFoundError: there is no experiment of this name and no such file.
        ValueError: the file cannot be run, has no `get_config()`, or returns another kind; or an override is wrong.
    """
    path = experiment_path(config, folder)
    with keeping_names():
        loaded = _from_run(path, kind) if path.endswith(".json") else _from_experiment(path, kind)
        return with_overrides(loaded, overrides)


def experiment_path(config: str, folder: str | None = None) -> str:
    """Return the path of an experiment that is given by name or as a path.

    Args:
        config: a name, or the path of an existing file.
        folder: the folder of the experiments that have names; None for `default_folder()`.

    Raises:
        FileNotFoundError: `config` is neither. For a name, the message lists the nearest ones.
    """
    names = {}
    if config.isidentifier():
        folder = folder or default_folder()
        names = {name: os.path.join(folder, f"{name}.py") for name in _names(folder)} if folder is not None else {}
    if config in names:
        return names[config]
    if config and files.exists(config):
        return config
    near = difflib.get_close_matches(config, names) or sorted(names)
    known = f"; there are: {', '.join(near)}" if near else ""
    raise FileNotFoundError(f"`config` must be an experiment's name or file{known}. Received: {config!r}")


def _names(folder: str) -> list[str]:
    names = [name.removesuffix(".py") for name in files.names_in_folder(folder) if name.endswith(".py")]
    return [name for name in names if not name.startswith("_")]


def _described(folder: str, name: str) -> Experiment:
    path = os.path.join(folder, f"{name}.py")
    try:
        tree = ast.parse(files.read_text(path), path)
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: not Python ({error.msg})") from None
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    returns = functions["get_config"].returns if "get_config" in functions else None
    kind = ast.unparse(returns).rpartition(".")[2].removesuffix("Config").lower() if returns is not None else ""
    summary = (ast.get_docstring(tree) or "").partition("\n")[0]
    return Experiment(name, kind, summary)


def with_overrides(config: _Config, overrides: Sequence[str | tuple[str, Any]]) -> _Config:
    """Return `config` with all overrides, in an order that works, since a width, for example, limits the heads.

    Args:
        config: the configuration.
        overrides: changes such as `train.num_steps=1000` (`Config.override`), or pairs of a field's dotted name and its
            value (`Config.with_field`).

    Raises:
        ConfigError: a field is unknown, or a value is of another type or out of range.
    """
    waiting = overrides
    while waiting:
        refused: list[str | tuple[str, Any]] = []
        errors = []
        for assignment in waiting:
            try:
                config = config.override(assignment) if isinstance(assignment, str) else config.with_field(*assignment)
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
        raise ValueError(f"{path} must be the config.json of a run that trained. Received: {str(description)[:80]}")
    try:
        return kind.from_dict(experiment)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _from_experiment(path: str, kind: type[_Config]) -> _Config:
    # Any error of the user's file is reported in one line. A misspelt field in it, for example, is a TypeError.
    try:
        get_config = runpy.run_path(path).get("get_config")
        config = get_config() if get_config is not None else None
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        line = f", line {frames[-1].lineno}" if frames else ""
        raise ValueError(f"{path}{line}: {type(error).__name__}: {error}") from error
    if get_config is None:
        raise ValueError(f"{path}: an experiment file must define get_config()")
    if not isinstance(config, kind):
        raise ValueError(f"{path}: get_config() must return a {kind.__name__}. Received: {type(config).__name__}")
    return config
