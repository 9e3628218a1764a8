"""What the launchers share: the experiment file, changes to it, and where to run."""

import functools
import runpy
import traceback
from typing import TypeVar

from absl import flags

from bert_tf import files, preemption
from bert_tf.configs import Config, ConfigError
from bert_tf.training.distribution import STRATEGIES, Distribution, make_distribution

_Config = TypeVar("_Config", bound=Config)


def define_training_flags(default_config: str) -> None:
    """`--config`, `--set`, `--model_dir`, and where to run: `--strategy`, `--tpu`, `--num_devices`."""
    flags.DEFINE_string("config", default_config, "Experiment file; its get_config() returns the configuration.")
    flags.DEFINE_multi_string("set", [], "Change a field of the configuration: train.num_steps=1000. Repeatable.")
    flags.DEFINE_string("model_dir", None, "Folder of the run; a run that stands there is continued.", required=True)
    flags.DEFINE_enum(
        "strategy",
        "auto",
        STRATEGIES,
        "auto: the TPU of --tpu, else the workers that TF_CONFIG names, else all GPUs, else one device.",
    )
    flags.DEFINE_integer(
        "preemption_exit_code", preemption.EXIT_CODE, "Exit code after SIGTERM, once a checkpoint is saved.", 0, 255
    )
    flags.DEFINE_string("tpu", None, "Name or address of a TPU, or `local` on a TPU VM.")
    flags.DEFINE_integer(
        "num_devices", None, "GPUs to use, all by default; without any, logical devices of the CPU.", lower_bound=1
    )


def load_config(path: str, kind: type[_Config], overrides: list[str]) -> _Config:
    """The configuration that the experiment file `path` returns, or a run's `config.json` holds, with `overrides` made.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be run, has no get_config(), or that returns another kind; an override is wrong.
    """
    if not files.exists(path):
        raise FileNotFoundError(f"--config must be an experiment file. Received: {path!r}")
    config = _from_run(path, kind) if path.endswith(".json") else _from_experiment(path, kind)
    return functools.reduce(kind.override, overrides, config)


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


def distribution_from_flags() -> Distribution:
    """The distribution that the flags ask for; says what was found and what is used.

    To be called before anything else that starts TensorFlow (`make_distribution`).
    """
    values = flags.FLAGS
    distribution = make_distribution(values.tpu, values.num_devices, values.strategy)
    print(f"found {distribution.found}; runs on {distribution.describe()}", flush=True)
    return distribution
