"""`bert_tf.pretrain`: the command `bert-tf pretrain` as a function."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from bert_tf.configs import PretrainingConfig
from bert_tf.configs.experiment_files import load_config
from bert_tf.utils.arguments import renamed
from data_pipelines.input.record_folder import RecordFolder
from experiments.devices import start_engine
from experiments.python.results import TrainingResult
from experiments.python.settings import ARGUMENTS, given, with_settings


def pretrain(
    experiment: str | os.PathLike | PretrainingConfig,
    train: str | os.PathLike | RecordFolder | Sequence[str | RecordFolder],
    evaluation: str | os.PathLike | RecordFolder | Sequence[str | RecordFolder] | None = None,
    *,
    output_dir: str | os.PathLike,
    init_checkpoint: str | os.PathLike | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int | None = None,
    set: Mapping[str, Any] | None = None,
    skip_corrupt: bool = False,
    allow_random_heads: bool = False,
    strategy: str = "auto",
    num_devices: int | None = None,
    tpu: str | None = None,
    **settings: Any,
) -> TrainingResult:
    """Pre-train a model on records, as `bert-tf pretrain` does.

    The same call again returns the result of a finished run, or continues one that was interrupted.

    Args:
        experiment: the name of an experiment such as `bert_base`, its file, or a configuration.
        train: a record folder, as a path or opened (`RecordFolder`); one for each phase of an experiment with phases.
        evaluation: the record folders of held-out documents; None for no evaluation.
        output_dir: the folder of the run.
        init_checkpoint: the weights to start from: a run, or weights of Hugging Face, Google or KerasHub.
        steps: the number of updates.
        batch_size: the number of rows in a batch.
        learning_rate: the highest learning rate.
        seed: the random seed.
        set: other fields by their dotted names, such as `{"masking.strategy": "whole_word"}`.
        skip_corrupt: whether all records are read first, to leave out those that cannot be used.
        allow_random_heads: whether heads that `init_checkpoint` lacks may start from random weights.
        strategy: see `bert_tf.finetune`.
        num_devices: see `bert_tf.finetune`.
        tpu: see `bert_tf.finetune`.
        **settings: other fields by their own names, such as `hidden_size=128` or `precision="bfloat16"`.

    Returns:
        The result, with `scores`, `history`, `predictor()` and `plot()`.

    Raises:
        FileNotFoundError: a folder or `init_checkpoint` does not exist.
        ValueError: an argument, a field or a record is wrong, or `output_dir` holds another run.
        FloatingPointError: the loss or the gradient is not finite.
        Preempted: SIGTERM was received. A checkpoint was saved.
    """
    from bert_tf.training.phases import phases_of
    from bert_tf.training.pretraining import pretrain as run_pretraining
    from experiments.pretraining import open_records

    if not isinstance(experiment, PretrainingConfig):
        with renamed(config="experiment"):
            experiment = load_config(os.fspath(experiment), PretrainingConfig)
    usual = {"num_steps": steps, "batch_size": batch_size, "learning_rate": learning_rate, "seed": seed}
    config = with_settings(experiment, given(usual), settings, set or {})
    folder = os.fspath(output_dir)
    with renamed(**ARGUMENTS):
        trains = [phase.train for phase in phases_of(config)]
        engine = start_engine(trains, tpu=tpu, num_devices=num_devices, strategy=strategy)
        train_records, eval_records = open_records(_folders(train), _folders(evaluation), skip_corrupt=skip_corrupt)
        scores = run_pretraining(
            config,
            train_records,
            eval_records,
            run_dir=folder,
            engine=engine,
            init_checkpoint=None if init_checkpoint is None else os.fspath(init_checkpoint),
            allow_random_heads=allow_random_heads,
        )
    return TrainingResult(folder, scores, seed=config.train.seed)


def _folders(data: Any) -> list[str | RecordFolder]:
    """Return the record folders of an argument that is one, several or none."""
    listed = list(data) if isinstance(data, list | tuple) else [data] if data is not None else []
    return [os.fspath(folder) if isinstance(folder, os.PathLike) else folder for folder in listed]
