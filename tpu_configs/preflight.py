"""The checks of a TPU job before it uses the TPU, where a mistake would cost minutes or would never be reported.

Shapes come from data sets that are built in a graph and never run.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bert_tf.configs import FinetuningConfig, PretrainingConfig, TrainConfig
from bert_tf.conversion.loading import read_pretrained
from bert_tf.tokenization.command_line import tokenizer_at
from bert_tf.training.phases import phases_of
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from data_pipelines.input.record_folder import RecordFolder
from data_pipelines.records.manifest import read_manifest, read_vocabulary
from tpu_configs import topologies

if TYPE_CHECKING:
    import tensorflow as tf

LOCAL = "local"
"""The name of the TPU of the machine that the program runs on."""

# The flags whose value may be a name, of a model on a hub or of a data set, instead of a path.
_MAY_BE_NAMES = {"--init_checkpoint", "distill.teacher"}


def check_pretraining(
    tpu: str,
    topology: str | None,
    config: PretrainingConfig,
    *,
    train_data: Sequence[str],
    eval_data: Sequence[str],
    paths: Mapping[str, str | None],
    skip_corrupt: bool = False,
) -> None:
    """Check the paths, batches, vocabulary and shapes of a pre-training job.

    Args:
        tpu: the value of `--tpu`.
        topology: the value of `--topology`; None to check batches only when the TPU's devices are known.
        config: the experiment.
        train_data: the record folders for training, one for each phase.
        eval_data: the record folders for evaluation, one for each phase.
        paths: the job's other paths by flag; None for a flag that is not given.
        skip_corrupt: the value of `--skip_corrupt`, which allows damaged shards.

    Raises:
        FileNotFoundError: a folder is missing or not complete.
        ValueError: the job could not run as it is; the message names the flag or field.
    """
    data = [("--train_data", path) for path in train_data] + [("--eval_data", path) for path in eval_data]
    check_paths(tpu, [*data, *paths.items(), ("distill.teacher", config.distill.teacher)])
    check_batches_on(topology, [phase.train for phase in phases_of(config)], bool(eval_data))
    check_records(config, train_data, eval_data, skip_corrupt=skip_corrupt)


def check_finetuning(
    tpu: str,
    topology: str | None,
    config: FinetuningConfig,
    *,
    paths: Mapping[str, str | None],
    do_lower_case: bool = True,
) -> None:
    """Check the paths, batches and vocabulary of a fine-tuning job. Its shapes are static, as all rows have one length.

    Args:
        tpu: the value of `--tpu`.
        topology: the value of `--topology`; None to check batches only when the TPU's devices are known.
        config: the experiment.
        paths: the job's paths by flag. `--init_checkpoint` or `--vocab_file` gives the vocabulary.
        do_lower_case: whether the vocabulary of `--vocab_file` is uncased.

    Raises:
        FileNotFoundError: a path is missing.
        ValueError: the job could not run as it is; the message names the flag or field.
    """
    check_paths(tpu, [*paths.items(), ("distill.teacher", config.distill.teacher)])
    check_batches_on(topology, [config.train])
    encoder, tokenizer = config.model, None
    init_checkpoint, vocab_file = paths.get("--init_checkpoint"), paths.get("--vocab_file")
    if init_checkpoint:
        with renamed(path="init_checkpoint"):
            pretrained = read_pretrained(init_checkpoint)
        encoder, tokenizer = pretrained.config, pretrained.tokenizer()
    elif vocab_file:
        tokenizer = tokenizer_at(vocab_file, do_lower_case)
    if tokenizer is not None:
        length = config.task.max_seq_length
        encoder.check_fits(tokenizer.vocab_size, length, num_segments=config.task.num_segments)


def check_paths(tpu: str, paths: Iterable[tuple[str, str | None]]) -> None:
    """Check that the hosts of a remote TPU, which cannot read the folders of this machine, reach every path.

    Args:
        tpu: the value of `--tpu`.
        paths: pairs of a flag and its path.

    Raises:
        ValueError: a path is local, but the TPU belongs to another machine.
    """
    if tpu == LOCAL:
        return
    for flag, path in paths:
        is_name = path is not None and (
            path.startswith("tfds:") or (flag in _MAY_BE_NAMES and not path.startswith("/") and not files.exists(path))
        )
        if path and not is_name and not re.match(r"gs://[^/]+", path):
            raise ValueError(
                f"{flag} must be a gs:// path, because the TPU belongs to another machine (--tpu={tpu}); on the TPU VM "
                f"itself, give --tpu={LOCAL}. Received: {path!r}"
            )


def check_batches_on(topology: str | None, trains: Sequence[TrainConfig], evaluates: bool = False) -> None:
    """Check the batches of a job, if `--topology` gives the number of devices.

    Raises:
        ValueError: there is no such topology, or a batch does not divide.
    """
    if topology is None:
        return
    devices = topologies.load(topology).devices
    for train in trains:
        check_batches(train, devices, evaluates)


def check_devices(devices: int, topology: str | None, trains: Sequence[TrainConfig]) -> None:
    """Check that the TPU has as many devices as the topology, and that the batches divide by their number.

    Raises:
        ValueError: the numbers differ, or a batch does not divide.
    """
    if topology is not None and topologies.load(topology).devices != devices:
        raise ValueError(f"--topology must be the TPU's topology, with {devices} devices. Received: {topology!r}")
    for train in trains:
        check_batches(train, devices)


def check_batches(train: TrainConfig, devices: int, evaluates: bool = False) -> None:
    """Check that each device takes the same number of rows, also in each accumulated part.

    Args:
        train: the settings of training, with the batch sizes.
        devices: the number of devices of the TPU.
        evaluates: whether `eval_batch_size` must divide too (fine-tuning rounds it up).

    Raises:
        ValueError: a batch size does not divide.
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
    """Return the number of rows that a device takes.

    Raises:
        ValueError: the batch size does not divide.
    """
    if batch_size % devices:
        raise ValueError(f"`{field}` must be a multiple of the TPU's {devices} devices. Received: {batch_size}")
    return batch_size // devices


def check_records(
    config: PretrainingConfig, train_data: Sequence[str], eval_data: Sequence[str], *, skip_corrupt: bool = False
) -> None:
    """Check the vocabulary, lengths and shapes of pre-training batches.

    For an id that is not in the table, a TPU silently reads another row. The readers keep every id below the
    vocabulary's size, so it is enough to check this size.

    Raises:
        FileNotFoundError: a folder is missing or not complete.
        ValueError: the model has fewer embeddings than the records' vocabulary has tokens, the records have longer rows
            than the model has positions, or a batch has no static shape.
    """
    import tensorflow as tf

    phases = phases_of(config)
    for flag, paths in {"--train_data": train_data, "--eval_data": eval_data}.items():
        for path, phase in zip(paths, phases, strict=False):
            with renamed(folder=flag.removeprefix("--")):
                manifest = read_manifest(path, allow_damage=skip_corrupt)
                vocab_size = read_vocabulary(path, manifest).vocab_size
            config.model.check_fits(vocab_size, manifest.max_seq_length)
            if skip_corrupt:
                continue  # opening these records would read them all, and their shapes are the same
            with renamed(path=flag.removeprefix("--")):
                folder = RecordFolder(path)
            # In a graph, nothing is read.
            with tf.Graph().as_default():
                if flag == "--train_data":
                    data = folder.training_dataset(
                        config.masking, phase.train.batch_size, seed=phase.train.seed, mixture=config.mixture
                    )
                else:
                    data = folder.evaluation_dataset(
                        config.eval_masking, phase.train.eval_batch_size, mixture=config.eval_mixture
                    )
                check_static(path, data.element_spec)


def check_static(path: str, specs: Mapping[str, "tf.TensorSpec"]) -> None:
    """Check that every tensor of a batch has a static shape.

    Raises:
        ValueError: a tensor has none.
    """
    for name, spec in specs.items():
        if not spec.shape.is_fully_defined():
            shape = tuple(spec.shape)
            raise ValueError(f"{path}: {name!r} must have a static shape, as a TPU needs it. Received: {shape}")
