"""What the launchers share: the experiment file, changes to it, and where to run."""

import functools
import runpy
from typing import TypeVar

from absl import flags

from bert_tf import files
from bert_tf.configs import Config
from bert_tf.training.distribution import Distribution, make_distribution

_Config = TypeVar("_Config", bound=Config)


def define_training_flags(default_config: str) -> None:
    """`--config`, `--set`, `--model_dir`, `--tpu`, `--num_devices`."""
    flags.DEFINE_string("config", default_config, "Experiment file; its get_config() returns the configuration.")
    flags.DEFINE_multi_string("set", [], "Change a field of the configuration: train.num_steps=1000. Repeatable.")
    flags.DEFINE_string("model_dir", None, "Folder of the run; a run that stands there is continued.", required=True)
    flags.DEFINE_string("tpu", None, "Name or address of a TPU, or `local` on a TPU VM.")
    flags.DEFINE_integer("num_devices", None, "GPUs to use; all by default.")


def load_config(path: str, kind: type[_Config], overrides: list[str]) -> _Config:
    """The configuration that the experiment file `path` returns, or a run's `config.json` holds, with `overrides` made.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has no get_config(), or that returns another kind; an override is wrong.
    """
    if not files.exists(path):
        raise FileNotFoundError(f"--config must be an experiment file. Received: {path!r}")
    if path.endswith(".json"):
        config = kind.from_dict(files.read_json(path).get("experiment", {}))
        return functools.reduce(kind.override, overrides, config)
    get_config = runpy.run_path(path).get("get_config")
    if get_config is None:
        raise ValueError(f"--config must define get_config(). Received: {path!r}")
    config = get_config()
    if not isinstance(config, kind):
        raise ValueError(
            f"--config must return a {kind.__name__} here; this one returns a {type(config).__name__}. "
            f"Received: {path!r}"
        )
    return functools.reduce(kind.override, overrides, config)


def distribution_from_flags() -> Distribution:
    """The distribution that the flags ask for; says what was found."""
    distribution = make_distribution(flags.FLAGS.tpu, flags.FLAGS.num_devices)
    print(f"runs on {distribution.describe()}")
    return distribution
