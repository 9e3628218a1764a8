"""The start of the engine: what devices were found, and which are used."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bert_tf.configs import TrainConfig

if TYPE_CHECKING:
    from bert_tf.training.engine import Engine


def start_engine(
    trains: Sequence[TrainConfig] = (),
    *,
    tpu: str | None = None,
    num_devices: int | None = None,
    strategy: str = "auto",
    topology: str | None = None,
) -> "Engine":
    """Return the engine for the attached devices, and print what was found and what is used.

    Args:
        trains: the training settings of each phase; their batch sizes must be multiples of the number of TPU devices.
        tpu: see `make_engine`.
        num_devices: see `make_engine`.
        strategy: see `make_engine`.
        topology: the topology of the TPU; None if it is not known.

    Raises:
        ValueError: there are no such devices, or a batch size is not a multiple of their number.
    """
    from bert_tf.training.choose_engine import make_engine
    from tpu_configs import preflight

    engine = make_engine(tpu=tpu, num_devices=num_devices, strategy=strategy)
    print(engine.describe(), flush=True)
    if engine.is_tpu:
        preflight.check_devices(engine.num_devices, topology, trains)
    return engine
