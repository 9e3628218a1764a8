"""What is checked of a TPU job before the TPU is touched: a mistake found there costs minutes, or is never told.

Starts nothing of TensorFlow that has to wait for the TPU: shapes are read off a graph that never runs.
"""

import re
from collections.abc import Mapping

from bert_tf.configs import PretrainingConfig, TrainConfig
from data_pipelines.record_folder import RecordFolder
from tpu_configs import topologies
from tpu_configs.topologies import Topology

LOCAL = "local"
"""The name of the TPU of the machine that the program runs on."""


def check_job(
    tpu: str, topology: str | None, train: TrainConfig, paths: Mapping[str, str | None], evaluates: bool = True
) -> Topology | None:
    """Paths and batches of a job.

    Args:
        tpu: the flag `--tpu`.
        topology: the flag `--topology`; without it batches can only be checked once the TPU has told its devices.
        train: batches.
        paths: flag -> path that the job reads or writes; None where the flag is not given.
        evaluates: whether `eval_batch_size` is used.

    Returns:
        The topology.

    Raises:
        ValueError: a path cannot be reached from a remote TPU, or a batch does not divide; the message names it.
    """
    check_paths(tpu, paths)
    if topology is None:
        return None
    found = topologies.load(topology)
    check_batches(train, found.devices, evaluates)
    return found


def check_paths(tpu: str, paths: Mapping[str, str | None]) -> None:
    """A remote TPU's hosts read and write by themselves, and see no folder of this machine.

    Raises:
        ValueError: a path is local and the TPU is not.
    """
    if tpu == LOCAL:
        return
    for flag, path in paths.items():
        if path and not re.match(r"gs://[^/]+", path):
            raise ValueError(
                f"{flag} must be a gs:// path where the TPU is another machine's (--tpu={tpu}); on the TPU VM itself "
                f"say --tpu={LOCAL}. Received: {path!r}"
            )


def check_batches(train: TrainConfig, devices: int, evaluates: bool = True) -> None:
    """Each device takes the same number of rows, and of each accumulated part.

    Raises:
        ValueError: they do not divide.
    """
    rows = rows_per_device("train.batch_size", train.batch_size, devices)
    if rows % train.gradient_accumulation_steps:
        raise ValueError(
            f"a device's {rows} rows must be a multiple of `train.gradient_accumulation_steps`. "
            f"Received: {train.gradient_accumulation_steps}"
        )
    if evaluates:
        rows_per_device("train.eval_batch_size", train.eval_batch_size, devices)


def rows_per_device(field: str, batch_size: int, devices: int) -> int:
    """Rows of one device.

    Raises:
        ValueError: the batch does not divide.
    """
    if batch_size % devices:
        raise ValueError(f"`{field}` must be a multiple of the TPU's {devices} devices. Received: {batch_size}")
    return batch_size // devices


def check_records(config: PretrainingConfig, train_data: str, eval_data: str | None) -> None:
    """Vocabulary, lengths and shapes of pre-training's batches.

    A TPU reads another row of the table for an id that is not in it, and says nothing.

    Raises:
        FileNotFoundError: a folder is missing or not complete.
        ValueError: the model has fewer embeddings than the records' vocabulary pieces, or fewer positions than they are
            long, or a batch has no static shape.
    """
    train = RecordFolder(train_data, "--train_data")
    folders = {"--train_data": train}
    if eval_data:
        folders["--eval_data"] = RecordFolder(eval_data, "--eval_data", train.tokenizer)
    for folder in folders.values():
        config.model.check_fits(folder.tokenizer.vocab_size, folder.max_seq_length)
    for flag, folder in folders.items():
        check_static(flag, _element_spec(config, folder, evaluation=flag == "--eval_data"))


def check_static(flag: str, specs: Mapping[str, object]) -> None:
    """Every tensor of a batch has a shape that is known when the step is compiled.

    Raises:
        ValueError: one has not.
    """
    for name, spec in specs.items():
        shape = tuple(spec.shape)  # type: ignore[attr-defined]
        if None in shape:
            raise ValueError(f"{flag}: a TPU needs batches of static shape; `{name}` has none. Received: {shape}")


def _element_spec(config: PretrainingConfig, folder: RecordFolder, evaluation: bool) -> Mapping[str, object]:
    import tensorflow as tf

    # In a graph: eager data sets would start TensorFlow's devices, before those of the TPU are known.
    with tf.Graph().as_default():
        if evaluation:
            data = folder.evaluation_dataset(config.eval_masking, config.train.eval_batch_size)
        else:
            data = folder.training_dataset(config.masking, config.train.batch_size, config.train.seed)
        return data.element_spec
