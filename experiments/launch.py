"""The flags that pre-training and fine-tuning share: the experiment, changes to it, and the devices."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from absl import flags

from bert_tf.configs import Config, TrainConfig
from bert_tf.configs.experiment_files import load_config
from bert_tf.utils import preemption
from experiments import engine_flag
from experiments.devices import start_engine

if TYPE_CHECKING:
    from bert_tf.training.engine import Engine

_Config = TypeVar("_Config", bound=Config)
STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")


def define_training_flags(default_config: str) -> None:
    """Define the flags that say what is trained, and where.

    Args:
        default_config: the experiment that `--config` names by default.
    """
    flags.DEFINE_string("config", default_config, "The experiment: its name (see `bert-tf configs`) or its file.")
    flags.DEFINE_multi_string("set", [], "Change a field, such as train.num_steps=1000; may be repeated.")
    flags.DEFINE_string(
        "profile_steps",
        None,
        "Profile these steps for TensorBoard, such as 100,110.",
    )
    flags.DEFINE_string(
        "model_dir", None, "The folder of the run; an interrupted run in it is continued.", required=True
    )
    engine_flag.define_flag()
    flags.DEFINE_enum(
        "strategy",
        "auto",
        STRATEGIES,
        "The devices; auto takes the TPU of --tpu, else the workers of TF_CONFIG, else all GPUs, else one device.",
    )
    flags.DEFINE_integer(
        "preemption_exit_code",
        preemption.EXIT_CODE,
        "The exit code after SIGTERM, once a checkpoint is saved.",
        0,
        255,
    )
    flags.DEFINE_string("tpu", None, "The name or address of a TPU, or `local` on a TPU VM.")
    flags.DEFINE_string(
        "topology",
        None,
        "The topology of the TPU, such as v5e-8, to check the job before it starts.",
    )
    flags.DEFINE_integer(
        "num_devices",
        None,
        "The number of GPUs to use, all by default; without GPUs, the number of logical CPU devices.",
        lower_bound=1,
    )


def config_from_flags(kind: type[_Config]) -> _Config:
    """Return the configuration of `kind` that the flags ask for. Raises the errors of `load_config`."""
    from tpu_configs import topologies

    values = flags.FLAGS
    peak = [f"train.peak_tflops={topologies.load(values.topology).peak_tflops}"] if values.topology else []
    profile = [f"train.profile_steps={values.profile_steps}"] if values.profile_steps else []
    return load_config(values.config, kind, [*peak, *values.set, *profile])


def tpu_from_flags() -> str | None:
    """Return the TPU that the flags ask for; None for none."""
    from tpu_configs import preflight

    values = flags.FLAGS
    return values.tpu or (preflight.LOCAL if values.strategy == "tpu" else None)


def engine_from_flags(trains: Sequence[TrainConfig] = ()) -> "Engine":
    """Return the engine that the flags ask for, and print what was found and what is used.

    Call it before anything else starts TensorFlow (`make_engine`).

    Args:
        trains: the training settings of each phase; their batch sizes must be multiples of the number of TPU devices.

    Raises:
        ValueError: there are no such devices, or a batch size is not a multiple of their number.
    """
    values = flags.FLAGS
    return start_engine(
        trains, tpu=values.tpu, num_devices=values.num_devices, strategy=values.strategy, topology=values.topology
    )
