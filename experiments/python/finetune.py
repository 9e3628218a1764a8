"""`bert_tf.finetune`: the command `bert-tf finetune` as a function, on files or on data in memory."""

import difflib
import os
from collections.abc import Iterable, Mapping
from typing import Any

from bert_tf.configs import FinetuningConfig
from bert_tf.configs.experiment_files import list_experiments, load_config
from bert_tf.configs.multi_task import MultiTaskConfig
from bert_tf.configs.tasks import AnyTaskConfig, TaskConfig
from bert_tf.examples import Examples, ExamplesByTask
from bert_tf.tokenization.command_line import tokenizer_at
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.utils import files
from bert_tf.utils.arguments import renamed
from bert_tf.utils.launching import whole_numbers
from data_pipelines.finetuning.in_memory import examples_of, items_of, with_pair_column
from data_pipelines.finetuning.labelled import read_parts
from experiments.devices import start_engine
from experiments.python.results import SweepResult, TrainingResult
from experiments.python.settings import ARGUMENTS, field_of, given, python_value, with_settings

# The experiments whose training settings serve a kind of task that has no experiment of its own name.
_EXPERIMENTS = {"question_answering": "squad", "regression": "stsb", "tagging": "conll2003"}


def finetune(
    task: str | os.PathLike | FinetuningConfig | TaskConfig | MultiTaskConfig,
    train: Any,
    evaluation: Any = None,
    *,
    output_dir: str | os.PathLike,
    init_checkpoint: str | os.PathLike | None = None,
    tokenizer: str | os.PathLike | WordPieceTokenizer | None = None,
    test: Any = None,
    split: str | None = None,
    split_seed: int = 0,
    epochs: float | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    max_seq_length: int | None = None,
    seed: int | None = None,
    seeds: Iterable[int] = (),
    grid: Mapping[str, Iterable[Any]] | None = None,
    set: Mapping[str, Any] | None = None,
    strict: bool = False,
    allow_random_heads: bool = False,
    strategy: str = "auto",
    num_devices: int | None = None,
    tpu: str | None = None,
    **settings: Any,
) -> TrainingResult | SweepResult:
    """Fine-tune a model on examples in memory or in files, as `bert-tf finetune` does.

    The same call again returns the result of a finished run, or continues one that was interrupted. It is refused if
    the examples or the experiment have changed.

    Args:
        task: the kind of the task (`classification`, `multi_label`, `regression`, `tagging`, `question_answering`,
            `multiple_choice`, `retrieval`, `seq2seq`), the name or file of an experiment such as `sst2`, or a
            configuration of either.
        train: the examples to learn: a file, as the command takes it; columns such as `(texts, labels)` or
            `((texts, pairs), labels)`; or rows, as dictionaries, a table, a data set or `bert_tf.examples` objects
            (`data_pipelines.finetuning.in_memory.items_of`). For several tasks (`configs.multi_task`) it is
            `"NAME=FILE,NAME=FILE"`, or a dictionary with the data of each task by its name.
        evaluation: examples to evaluate on during training.
        output_dir: the folder of the run, or of all runs.
        init_checkpoint: the encoder to start from: a run, or weights of Hugging Face, Google or KerasHub.
        tokenizer: instead, for a start from random weights: a tokenizer, its folder, or a vocabulary file.
        test: examples that are scored once, at the end.
        split: the shares by which `train` is split into the parts, such as `80/10/10` or `90/10`.
        split_seed: the random seed of `split`.
        epochs: the number of passes over the training examples.
        batch_size: the number of rows in a batch.
        learning_rate: the highest learning rate.
        max_seq_length: the largest number of tokens in a row.
        seed: the random seed.
        seeds: several random seeds, each of which has a run of its own.
        grid: the values of fields, such as `{"learning_rate": [5e-5, 3e-5]}`; every combination has runs of its own.
        set: other fields by their dotted names, such as `{"optimizer.weight_decay": 0.01}`.
        strict: whether an answer that is not at its `answer_start` is an error.
        allow_random_heads: whether a pooler that `init_checkpoint` lacks may start from random weights.
        strategy: the devices: `auto`, `one_device`, `mirrored`, `multi_worker` or `tpu`.
        num_devices: the number of GPUs; None for all.
        tpu: the name or address of a TPU.
        **settings: other fields by their own names, such as `patience=2` (early stopping), `keep_best`, `metric` or
            `labels`.

    Returns:
        The result, with `scores`, `history`, `predictor()` and `plot()`; with seeds or a grid, that of all `runs`.

    Raises:
        FileNotFoundError: a file or `init_checkpoint` does not exist.
        ValueError: an argument, a field or an example is wrong, or `output_dir` holds another run.
        FloatingPointError: the loss or the gradient is not finite.
        Preempted: SIGTERM was received. A checkpoint was saved.
    """
    from experiments.finetuning import finetune as run_finetuning

    usual = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "max_seq_length": max_seq_length,
        "seed": seed,
    }
    config = with_settings(_finetuning_config(task), given(usual), settings, set or {})
    chosen_seeds = _seeds(seeds, seed)
    chosen_grid = _grid(config, grid or {})
    config, data = _read_memory(config, {"train": train, "eval": evaluation, "test": test}, strict=strict)
    paths = {part: found.path if isinstance(found, Examples) else found for part, found in data.items()}
    with renamed(**ARGUMENTS):
        engine = start_engine([config.train], tpu=tpu, num_devices=num_devices, strategy=strategy)
        return run_finetuning(
            config,
            read_parts(config.task, data, split=split, split_seed=split_seed, strict=strict),
            run_dir=os.fspath(output_dir),
            engine=engine,
            seeds=chosen_seeds,
            grid=chosen_grid,
            init_checkpoint=None if init_checkpoint is None else os.fspath(init_checkpoint),
            tokenizer=_tokenizer(tokenizer),
            data=paths | {"split": split, "split_seed": split_seed},
            allow_random_heads=allow_random_heads,
        )


def _finetuning_config(task: Any) -> FinetuningConfig:
    """Return the experiment that `task` names or is."""
    if isinstance(task, FinetuningConfig):
        return task
    if isinstance(task, TaskConfig | MultiTaskConfig):
        return _finetuning_config(task.kind).replace(task=task)
    if not isinstance(task, str | os.PathLike):
        raise ValueError(f"`task` must be a name, a file or a configuration. Received: {task!r:.100}")
    name = os.fspath(task)
    if name in _EXPERIMENTS:
        from bert_tf.tasks import TASKS

        return load_config(_EXPERIMENTS[name], FinetuningConfig).replace(task=TASKS[name].config_class())
    known = [*_EXPERIMENTS, *(found.name for found in list_experiments() if found.kind == "finetuning")]
    if name not in known and not files.exists(name):
        near = difflib.get_close_matches(name, known) or sorted(known)
        raise ValueError(
            f"`task` must be a task, or an experiment's name or file: {', '.join(near)}. Received: {name!r}"
        )
    return load_config(name, FinetuningConfig)


def _seeds(seeds: Iterable[int], seed: int | None) -> list[int]:
    if isinstance(seeds, str | bytes) or not isinstance(seeds, Iterable):
        raise ValueError(f"`seeds` must be a list of whole numbers. Received: {seeds!r}")
    found = whole_numbers([str(number) for number in seeds], "seeds")
    if found and seed is not None:
        raise ValueError(f"one of `seed` and `seeds` must be given. Received: {seed!r} and {found!r}")
    return found


def _grid(config: FinetuningConfig, grid: Mapping[str, Iterable[Any]]) -> dict[str, list[Any]]:
    """Return the grid with dotted names."""
    found = {}
    for name, values in grid.items():
        listed = [] if isinstance(values, str | bytes | Mapping) else [python_value(value) for value in values]
        if not listed:
            raise ValueError(f"`grid` must have a list of values for each field. Received: {values!r} for {name!r}")
        found[field_of(config, name)] = listed
    return found


def _read_memory(
    config: FinetuningConfig, data: Mapping[str, Any], *, strict: bool
) -> tuple[FinetuningConfig, dict[str, str | Examples | None]]:
    """Return the configuration for the data, and each part as a path, as the examples of memory, or as None."""
    if isinstance(config.task, MultiTaskConfig):
        return _read_memory_of_tasks(config, config.task, data, strict=strict)
    task: AnyTaskConfig = config.task
    found: dict[str, Any] = {}
    for part, examples in data.items():
        name = "evaluation" if part == "eval" else part
        if isinstance(examples, str | os.PathLike):
            found[part] = os.fspath(examples)
        elif examples is not None and not isinstance(examples, Examples):
            found[part] = items_of(name, examples, task)
        else:
            found[part] = examples
    if found["train"] is None:
        raise ValueError("`train` must be a file or examples. Received: None")
    if isinstance(found["train"], list | Examples):
        train = found["train"]
        first = train[:1] if isinstance(train, list) else [(train.path, train.examples[0])]
        task = with_pair_column(task, first)
    for part, items in found.items():
        if isinstance(items, list):
            found[part] = examples_of(items, task, strict=strict)
    return config.replace(task=task), found


def _read_memory_of_tasks(
    config: FinetuningConfig, task: MultiTaskConfig, data: Mapping[str, Any], *, strict: bool
) -> tuple[FinetuningConfig, dict[str, str | Examples | None]]:
    """Return what `_read_memory` does for several tasks, whose parts are paths or dictionaries by the tasks' names."""
    found: dict[str, Any] = {}
    by_task: dict[str, dict[str, Any]] = {name: {} for name in task.by_name()}
    for part, given_data in data.items():
        found[part] = os.fspath(given_data) if isinstance(given_data, str | os.PathLike) else None
        if given_data is None or found[part] is not None:
            continue
        if not isinstance(given_data, Mapping) or given_data.keys() != by_task.keys():
            raise ValueError(
                f"`{'evaluation' if part == 'eval' else part}` must be a dictionary with the data of each of the tasks "
                f"{', '.join(by_task)}. Received: {given_data!r:.100}"
            )
        for name, of_task in by_task.items():
            of_task[part] = given_data[name]
    members = []
    for member in task.tasks:
        parts = by_task[member.name]
        if "train" in parts:
            own, read = _read_memory(config.replace(task=member.config), parts, strict=strict)
            assert not isinstance(own.task, MultiTaskConfig)
            member = member.replace(config=own.task)
            parts.update(read_parts(own.task, read, strict=strict))
        members.append(member)
    for part in data:
        if all(part in parts for parts in by_task.values()):
            found[part] = ExamplesByTask.of({name: parts[part] for name, parts in by_task.items()})
    if found["train"] is None:
        raise ValueError("`train` must be files or examples of each task. Received: None")
    return config.replace(task=task.replace(tasks=tuple(members))), found


def _tokenizer(tokenizer: str | os.PathLike | WordPieceTokenizer | None) -> WordPieceTokenizer | None:
    return tokenizer_at(os.fspath(tokenizer)) if isinstance(tokenizer, str | os.PathLike) else tokenizer
