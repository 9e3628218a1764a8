"""Pre-training: masked-LM and next-sentence prediction on records of text."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any, Protocol

import keras
import numpy as np

from bert_tf.configs import MaskingConfig, MixtureConfig, PretrainingConfig
from bert_tf.conversion.loading import read_pretrained
from bert_tf.conversion.pretrained import Pretrained
from bert_tf.features import predictions_per_row
from bert_tf.models.flops import pretraining_step_flops
from bert_tf.models.weights import named_weights
from bert_tf.objectives import metrics
from bert_tf.objectives.objective import pretraining_objective
from bert_tf.runs import checkpoints
from bert_tf.runs import folder as run_folder
from bert_tf.runs.descriptions import RunDescription
from bert_tf.tokenization.same_vocabulary import check_same_vocabulary
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.training.attention_choice import attention_of
from bert_tf.training.batch_shards import BatchShard
from bert_tf.training.distillation import Distillation, check_one_start, read_teacher, student_of, student_start
from bert_tf.training.engine import Dataset, Engine, Evaluate, State
from bert_tf.training.loop import Hooks, train_and_evaluate
from bert_tf.training.phases import Phase, phases_of, remaining
from bert_tf.training.precision_choice import with_precision
from bert_tf.training.turns import Turns
from bert_tf.utils.arguments import renamed

# The fields that a checkpoint's weights depend on. Dropout and initialisation may differ.
_ARCHITECTURE = (
    "vocab_size",
    "hidden_size",
    "embedding_size",
    "num_layers",
    "num_heads",
    "intermediate_size",
    "hidden_act",
    "max_position_embeddings",
    "type_vocab_size",
    "position_embedding",
    "layer_norm_epsilon",
)


class PretrainingRecords(Protocol):
    """The records that pre-training reads; `data_pipelines.input.record_folder.RecordFolder` implements it."""

    tokenizer: WordPieceTokenizer
    max_seq_length: int
    max_sequences_per_row: int

    def identity(self) -> dict[str, Any]:
        """Return values that distinguish these records from others."""
        ...

    def token_counts(self) -> np.ndarray:
        """Return how often each token occurs, int [vocabulary]."""
        ...

    def training_dataset(
        self,
        masking: MaskingConfig,
        batch_size: int,
        *,
        seed: int,
        start_step: int,
        input_pipeline_id: int,
        num_input_pipelines: int,
        mixture: MixtureConfig,
    ) -> Dataset:
        """Return endless batches, or one pipeline's rows of them, which depend on the arguments alone."""
        ...

    def describe_batch(self, batch_size: int, seed: int, step: int) -> str:
        """Return a text that names the records in the batch of a step."""
        ...

    def evaluation_dataset(self, masking: MaskingConfig, batch_size: int, *, mixture: MixtureConfig) -> Dataset:
        """Return every record once, with fixed masks."""
        ...

    def naming_bad_records(self) -> AbstractContextManager[None]:
        """Return a context in which errors of reading these records become ValueErrors that name shard and record."""
        ...


def pretrain(
    config: PretrainingConfig,
    train_records: PretrainingRecords | Sequence[PretrainingRecords],
    eval_records: PretrainingRecords | Sequence[PretrainingRecords] | None,
    *,
    run_dir: str,
    engine: Engine,
    init_checkpoint: str | None = None,
    allow_random_heads: bool = False,
) -> dict[str, float]:
    """Pre-train a model in `run_dir` through all phases of the experiment, or continue an interrupted pre-training.

    Args:
        config: the experiment.
        train_records: the training records of each phase, in the order of `config.phases`.
        eval_records: the records of held-out documents of each phase, with the same vocabulary; None for no evaluation.
        run_dir: the run's folder.
        engine: the devices and processes.
        init_checkpoint: the weights to start from, in any form that `conversion.loading.read_pretrained` takes (a run's
                folder, a folder of Hugging Face or Google, a KerasHub preset, a name on a hub).
        allow_random_heads: whether a head that `init_checkpoint` lacks may start from random weights.

    Returns:
        The losses, in nats, and metrics on `eval_records` or, without these, of the last steps.

    Raises:
        FileNotFoundError: `init_checkpoint` does not exist, or is not complete.
        ValueError: vocabulary, lengths, sizes or experiment contradict each other, or a record cannot be used. The
                message says which.
        FloatingPointError: the loss or the gradient is not finite.
        Preempted: SIGTERM was received. A checkpoint of the last step was saved.
    """
    for phase in phases_of(config):
        engine.check_batch("train.batch_size", phase.train.batch_size)
    engine.check_batch("train.eval_batch_size", config.train.eval_batch_size)
    attention = attention_of(config.model, engine, run_dir)
    config = config.replace(train=with_precision(config.train, engine, run_dir))
    train, phases = config.train, phases_of(config)
    train_of = _of_phases(train_records, phases, "train_data")
    eval_of = _of_phases(eval_records, phases, "eval_data") if eval_records else []
    tokenizer = train_of[0].tokenizer
    for records in (*train_of, *eval_of):
        config.model.check_fits(tokenizer.vocab_size, records.max_seq_length)
    teacher = read_teacher(config.distill, "pretraining")
    distillation = Distillation(
        config.distill,
        teacher,
        student=config.model,
        tokenizer=tokenizer,
        row_length=max(records.max_seq_length for records in train_of),
        num_segments=2,
    )
    distillation.check_masked_lm(config.model)
    description = _description(config, tokenizer, train_of, eval_of)
    start_from = _weights_to_start_from(init_checkpoint, config, tokenizer, teacher)
    if start_from is not None:
        start_from.check_heads("pretraining", allow_random_heads)
    with ExitStack() as stack:
        lock = stack.enter_context(run_folder.claimed(run_dir, description, tokenizer, is_chief=engine.is_chief))
        for records in (*train_of, *eval_of):
            stack.enter_context(records.naming_bad_records())
        log_unigram = metrics.log_unigram(train_of[0].token_counts(), tokenizer.special_ids, config.model.vocab_size)
        keras.utils.set_random_seed(train.seed)
        make_model = partial(run_folder.model_of, description, train.dtype_policy, attention=attention)
        state = engine.make_state(distillation.model_maker(make_model, train.dtype_policy, "pretraining"), train)
        initialization = _initialization(config, start_from, log_unigram, allow_random_heads=allow_random_heads)
        of_labels = pretraining_objective(log_unigram)
        objective, student = distillation.objective(of_labels), student_of(state.model)
        results: dict[str, float] = {}
        newest = checkpoints.newest_checkpoint(run_dir)
        for index in remaining(phases, newest.step if newest is not None else 0):
            data = _PhaseData(config, phases[index], train_of[index], eval_of[index] if eval_of else None)
            results = train_and_evaluate(
                engine=engine,
                state=state,
                turns=Turns.of_one(objective, data.training_dataset),
                run_dir=run_dir,
                train=phases[index].train,
                optimizer=config.optimizer,
                hooks=Hooks(
                    evaluate=data.evaluation(engine.make_evaluation(student, of_labels)),
                    initialize=initialization,
                    describe_batch=data.describe_batch,
                    still_held=lock.check,
                    step_flops=data.step_flops,
                ),
                label="pre-training" if len(phases) == 1 else f"pre-training, phase {index + 1} of {len(phases)}",
            )
        return results


class _PhaseData:
    """The data of a phase, addressed by the run's steps."""

    def __init__(
        self, config: PretrainingConfig, phase: Phase, train: PretrainingRecords, held_out: PretrainingRecords | None
    ) -> None:
        self._config = config
        self._phase = phase
        self._train = train
        self._held_out = held_out

    def training_dataset(self, start: int, shard: BatchShard) -> Dataset:
        if start < self._phase.begin:
            raise ValueError(
                f"`run_dir` must have a readable checkpoint of step {self._phase.begin} or later. Remove the damaged "
                f"checkpoints to continue from an earlier phase. Received: step {start}, the newest readable one"
            )
        train = self._phase.train
        return self._train.training_dataset(
            self._config.masking,
            train.batch_size,
            seed=train.seed,
            start_step=start - self._phase.begin,
            input_pipeline_id=shard.index,
            num_input_pipelines=shard.count,
            mixture=self._config.mixture,
        )

    def describe_batch(self, step: int) -> str:
        return self._train.describe_batch(
            self._phase.train.batch_size, self._phase.train.seed, step - self._phase.begin
        )

    def evaluation(self, evaluate: Evaluate) -> Callable[[], dict[str, float]] | None:
        """Return the evaluation of the whole held-out set, or None if there is none."""
        held_out = self._held_out
        if held_out is None:
            return None
        config, batch_size = self._config, self._phase.train.eval_batch_size
        return lambda: evaluate(
            held_out.evaluation_dataset(config.eval_masking, batch_size, mixture=config.eval_mixture)
        )

    def step_flops(self, row_length: int) -> float:
        masking = self._config.masking
        predictions = masking.max_predictions_per_seq or predictions_per_row(masking.masked_lm_rate, row_length)
        return pretraining_step_flops(
            self._config.model,
            self._phase.train.batch_size,
            row_length,
            predictions=predictions,
            max_sequences_per_row=self._train.max_sequences_per_row,
        )


def _description(
    config: PretrainingConfig,
    tokenizer: WordPieceTokenizer,
    train_of: Sequence[PretrainingRecords],
    eval_of: Sequence[PretrainingRecords],
) -> RunDescription:
    return RunDescription(
        task="pretraining",
        model=config.model,
        do_lower_case=tokenizer.do_lower_case,
        tokenizer_options=tokenizer.options,
        vocab_hash=tokenizer.vocab_hash,
        max_seq_length=max(records.max_seq_length for records in train_of),
        labels=(),
        experiment=config.to_dict(),
        data={"train": _identity(train_of), "eval": _identity(eval_of) if eval_of else None},
    )


def _initialization(
    config: PretrainingConfig, start_from: Pretrained | None, log_unigram: np.ndarray, *, allow_random_heads: bool
) -> Callable[[State], None]:
    """Return a function that gives a new state the weights to start from, and the output bias of the unigrams."""

    def initialize(state: State) -> None:
        if start_from is not None:
            start_from.assign_to(state.model, "pretraining", allow_random_heads)
        if config.model.output_bias_from_unigram and (start_from is None or "masked_lm" not in start_from.heads):
            named_weights(state.model)["masked_lm/output_bias"].assign(log_unigram)

    return initialize


def _of_phases(
    records: PretrainingRecords | Sequence[PretrainingRecords], phases: Sequence[Phase], argument: str
) -> list[PretrainingRecords]:
    found = list(records) if isinstance(records, Sequence) else [records]
    if len(found) != len(phases):
        raise ValueError(
            f"`{argument}` must name one record folder for each of {len(phases)} phases. Received: {len(found)}"
        )
    for one, phase in zip(found, phases, strict=True):
        if phase.max_seq_length not in (None, one.max_seq_length):
            raise ValueError(
                f"`{argument}` must name, for each of `phases` in their order, records of its `max_seq_length`, here "
                f"{phase.max_seq_length}. Received: records of {one.max_seq_length}"
            )
    return found


def _identity(records: Sequence[PretrainingRecords]) -> Any:
    identities = [one.identity() for one in records]
    return identities[0] if len(identities) == 1 else identities


def _weights_to_start_from(
    init_checkpoint: str | None, config: PretrainingConfig, tokenizer: WordPieceTokenizer, teacher: Pretrained | None
) -> Pretrained | None:
    """Return published weights, those of another run or some layers of the teacher, which fit this run; None for none.

    Raises:
        ValueError: the weights have another vocabulary or other sizes than this run, or are given twice.
    """
    if teacher is not None and config.distill.init_layers:
        check_one_start(config.distill, init_checkpoint=init_checkpoint)
        name, given = "distill.init_layers", str(config.distill.teacher)
        other = student_start(teacher, config.distill, config.model)[0]
    elif init_checkpoint:
        name, given = "init_checkpoint", init_checkpoint
        with renamed(path=name):
            other = read_pretrained(init_checkpoint, "pretraining")
    else:
        return None
    assert other is not None
    check_same_vocabulary(name, given, other.tokenizer(), expected=tokenizer, owner="the records")
    differences = [
        f"`model.{name}` is {getattr(other.config, name)!r} there and {getattr(config.model, name)!r} here"
        for name in _ARCHITECTURE
        if getattr(other.config, name) != getattr(config.model, name)
    ]
    if differences:
        raise ValueError(
            f"`{name}` must give a model of the same size and kind: {'; '.join(differences)}. Received: {given!r}"
        )
    return other
