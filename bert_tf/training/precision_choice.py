"""The choice of the precision that a training computes in, where the experiment leaves it to the devices."""

from bert_tf.configs import TrainConfig
from bert_tf.configs.training import DTYPE_POLICIES
from bert_tf.runs import folder as run_folder
from bert_tf.training.engine import Engine


def with_precision(train: TrainConfig, engine: Engine, run_dir: str) -> TrainConfig:
    """Return the settings of a training with `auto` replaced by a precision, and print which one, and why.

    All processes have the same one. A run keeps the precision that it began with, whatever devices it goes on with.

    Args:
        train: the experiment's settings.
        engine: the devices and processes. All processes must call this function.
        run_dir: the run's folder.
    """
    if train.precision != "auto":
        return train
    precision, reason = _of_all_processes(engine)
    begun = run_folder.precision_of(run_dir)
    if begun is not None:
        precision, reason = begun, "the run began with it"
    if engine.is_chief:
        print(f"computes in {precision} (train.precision=auto): {reason}", flush=True)
    return train.with_precision(precision)


def _of_all_processes(engine: Engine) -> tuple[str, str]:
    """Return the precision that the devices of all processes multiply natively, and the reason."""
    native = engine.native_precision()
    with engine.naming_lost_processes():
        votes = engine.sum_over_processes([float(name == native.precision) for name in DTYPE_POLICIES])
    if max(votes) < engine.num_processes:
        return "float32", "the devices of the processes differ"
    return native
