"""The checks of a TPU job before the TPU is touched, where a mistake costs minutes or is never reported.

Shapes are read off data sets that are made in a graph and never run.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bert_tf.configs import FinetuningConfig, PretrainingConfig, TrainConfig
from bert_tf.conversion.loading import read_pretrained
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
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

# Flags whose value may be a name instead of a path: a model on a hub, a data set.
_MAY_BE_NAMES = {"--init_checkpoint"}


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
    """Check a pre-training job: its paths, batches, vocabulary and shapes.

    Args:
        tpu: the flag `--tpu`.
        topology: the flag `--topology`; without it, batches are checked when the TPU's devices are known.
        config: the experiment.
        train_data: record folders, one a phase.
        eval_data: the same, held out.
        paths: flag -> the job's other paths; None where a flag is not given.
        skip_corrupt: the flag of that name: damaged shards are no mistake.

    Raises:
        FileNotFoundError: a folder is missing or not complete.
        ValueError: the job could not run as it is; the message names the flag or field.
    """
    data = [("--train_data", path) for path in train_data] + [("--eval_data", path) for path in eval_data]
    check_paths(tpu, [*data, *paths.items()])
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
    """Check a fine-tuning job: its paths, batches and vocabulary. Its shapes are static: rows have one length.

    Args:
        tpu: the flag `--tpu`.
        topology: the flag `--topology`; without it, batches are checked when the TPU's devices are known.
        config: the experiment.
        paths: flag -> the job's paths; of them `--init_checkpoint` or `--vocab_file` gives the vocabulary.
        do_lower_case: of `--vocab_file`.

    Raises:
        FileNotFoundError: a path is missing.
        ValueError: the job could not run as it is; the message names the flag or field.
    """
    check_paths(tpu, paths.items())
    check_batches_on(topology, [config.train])
    encoder, tokenizer = config.model, None
    init_checkpoint, vocab_file = paths.get("--init_checkpoint"), paths.get("--vocab_file")
    if init_checkpoint:
        with renamed(path="init_checkpoint"):
            pretrained = read_pretrained(init_checkpoint)
        encoder, tokenizer = pretrained.config, pretrained.tokenizer()
    elif vocab_file:
        tokenizer = WordPieceTokenizer(vocab_file, do_lower_case=do_lower_case)
    if tokenizer is not None:
        encoder.check_fits(tokenizer.vocab_size, config.task.max_seq_length)


def check_paths(tpu: str, paths: Iterable[tuple[str, str | None]]) -> None:
    """Check that the hosts of a remote TPU, which see no folder of this machine, reach every path.

    Args:
        tpu: the flag `--tpu`.
        paths: (flag, path).

    Raises:
        ValueError: a path is local and the TPU is not.
    """
    if tpu == LOCAL:
        return
    for flag, path in paths:
        is_name = path is not None and (
            path.startswith("tfds:") or (flag in _MAY_BE_NAMES and not path.startswith("/") and not files.exists(path))
        )
        if path and not is_name and not re.match(r"gs://[^/]+", path):
            raise ValueError(
                f"{flag} must be a gs:// path where the TPU is another machine's (--tpu={tpu}); on the TPU VM itself "
                f"say --tpu={LOCAL}. Received: {path!r}"
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
    """Check that the TPU has the devices of the topology, and that the batches divide by them.

    Raises:
        ValueError: they differ, or a batch does not divide.
    """
    if topology is not None and topologies.load(topology).devices != devices:
        raise ValueError(f"--topology must be that of the TPU, which has {devices} devices. Received: {topology!r}")
    for train in trains:
        check_batches(train, devices)


def check_batches(train: TrainConfig, devices: int, evaluates: bool = False) -> None:
    """Check that each device takes the same number of rows, also of each accumulated part.

    Args:
        train: the batches.
        devices: of the TPU.
        evaluates: whether `eval_batch_size` has to divide too (fine-tuning rounds it up).

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
    """Return rows of one device.

    Raises:
        ValueError: the batch does not divide.
    """
    if batch_size % devices:
        raise ValueError(f"`{field}` must be a multiple of the TPU's {devices} devices. Received: {batch_size}")
    return batch_size // devices


def check_records(
    config: PretrainingConfig, train_data: Sequence[str], eval_data: Sequence[str], *, skip_corrupt: bool = False
) -> None:
    """Check the vocabulary, lengths and shapes of pre-training's batches.

    A TPU reads some other row of the table for an id that is not in it, and says nothing; the readers hold every id
    below the vocabulary's size, so that it is the size which has to fit.

    Raises:
        FileNotFoundError: a folder is missing or not complete.
        ValueError: the model has fewer embeddings than the records' vocabulary tokens, or fewer positions than they are
            long, or a batch has no static shape.
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
                continue  # to open them is to read them all; the readers' shapes are the same
            with renamed(path=flag.removeprefix("--")):
                folder = RecordFolder(path)
            # In a graph: nothing is read.
            with tf.Graph().as_default():
                if flag == "--train_data":
                    data = folder.training_dataset(config.masking, phase.train.batch_size, phase.train.seed)
                else:
                    data = folder.evaluation_dataset(config.eval_masking, phase.train.eval_batch_size)
                check_static(path, data.element_spec)


def check_static(path: str, specs: Mapping[str, "tf.TensorSpec"]) -> None:
    """Check that every tensor of a batch has a static shape.

    Raises:
        ValueError: one has not.
    """
    for name, spec in specs.items():
        if not spec.shape.is_fully_defined():
            shape = tuple(spec.shape)
            raise ValueError(f"{path}: a TPU needs batches of static shape; {name!r} has none. Received: {shape}")
