"""What the launchers share: the experiment file, changes to it, and where to run."""

from collections.abc import Sequence
from typing import TypeVar

from absl import flags

from bert_tf.configs import Config, TrainConfig
from bert_tf.configs.experiment_files import load_config
from bert_tf.training.choose_engine import make_engine
from bert_tf.training.engine import STRATEGIES, Engine
from bert_tf.utils import preemption
from tpu_configs import preflight, topologies

_Config = TypeVar("_Config", bound=Config)


def define_training_flags(default_config: str) -> None:
    """What is trained, and where; the flags of every training."""
    flags.DEFINE_string("config", default_config, "Experiment file; its get_config() returns the configuration.")
    flags.DEFINE_multi_string("set", [], "Change a field of the configuration: train.num_steps=1000. Repeatable.")
    flags.DEFINE_string("profile_steps", None, "Profile these steps, for TensorBoard: 100,110.")
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
    flags.DEFINE_string("topology", None, "That of the TPU, such as v5e-8, to check batches before it is touched.")
    flags.DEFINE_integer(
        "num_devices", None, "GPUs to use, all by default; without any, logical devices of the CPU.", lower_bound=1
    )


def config_from_flags(kind: type[_Config]) -> _Config:
    """The configuration that the flags ask for, a pre-training's or a fine-tuning's: see `load_config`."""
    values = flags.FLAGS
    peak = [f"train.peak_tflops={topologies.load(values.topology).peak_tflops}"] if values.topology else []
    profile = [f"train.profile_steps={values.profile_steps}"] if values.profile_steps else []
    return load_config(values.config, kind, [*peak, *values.set, *profile])


def tpu_from_flags() -> str | None:
    """The TPU that the flags ask for."""
    values = flags.FLAGS
    return values.tpu or (preflight.LOCAL if values.strategy == "tpu" else None)


def engine_from_flags(trains: Sequence[TrainConfig] = ()) -> Engine:
    """Return the engine that the flags ask for, and print what was found and what is used.

    Call it before anything else starts TensorFlow (`make_engine`).

    Args:
        trains: the settings of the training; their batches must divide by a TPU's devices.

    Raises:
        ValueError: there are no such devices, or the batches do not divide.
    """
    values = flags.FLAGS
    engine = make_engine(tpu=values.tpu, num_devices=values.num_devices, strategy=values.strategy)
    print(engine.describe(), flush=True)
    if engine.is_tpu:
        preflight.check_devices(engine.num_devices, values.topology, trains)
    return engine
