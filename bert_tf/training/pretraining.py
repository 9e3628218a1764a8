"""Pre-training: masked-LM and next-sentence prediction on records of text."""

from functools import partial
from typing import Any, Protocol

import keras
import numpy as np

from bert_tf import metrics
from bert_tf.configs import MaskingConfig, PretrainingConfig
from bert_tf.models.weights import named_weights
from bert_tf.objectives import pretraining_objective
from bert_tf.tokenization import WordPieceTokenizer
from bert_tf.training import checkpoints, model_dir
from bert_tf.training.distribution import Distribution
from bert_tf.training.loop import train_and_evaluate
from bert_tf.training.step import DTYPE_POLICIES, TrainState

# What a checkpoint's weights depend on; dropout and initialisation may differ.
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
    """What pre-training reads; `data_pipelines.record_folder.RecordFolder` is one."""

    tokenizer: WordPieceTokenizer
    max_seq_length: int

    def identity(self) -> dict[str, Any]:
        """What tells these records from others."""
        ...

    def piece_counts(self) -> np.ndarray:
        """How often each piece occurs, int [vocabulary]."""
        ...

    def training_dataset(self, masking: MaskingConfig, batch_size: int, seed: int, start_step: int) -> Any:
        """Endless `features.pretraining_batch`es, a pure function of (records, arguments, step)."""
        ...

    def evaluation_dataset(self, masking: MaskingConfig, batch_size: int) -> Any:
        """Every record once, with fixed masks."""
        ...


def pretrain(
    config: PretrainingConfig,
    train_records: PretrainingRecords,
    eval_records: PretrainingRecords | None,
    run_dir: str,
    distribution: Distribution,
    init_checkpoint: str | None = None,
) -> dict[str, float]:
    """Pre-train, or go on pre-training, in `run_dir`.

    Args:
        config: the experiment.
        train_records: what is learnt.
        eval_records: records of held-out documents, of the same vocabulary; None for no evaluation.
        run_dir: the run's folder.
        distribution: where it runs.
        init_checkpoint: folder of another pre-training run whose weights to start from.

    Returns:
        Losses (nats) and metrics on `eval_records`, or, without them, on the last steps.

    Raises:
        FileNotFoundError: `init_checkpoint` holds no complete checkpoint.
        ValueError: vocabulary, lengths, sizes or experiment do not agree; the message says which.
        FloatingPointError: the loss is not finite.
    """
    train, tokenizer = config.train, train_records.tokenizer
    for records in (train_records, eval_records):
        if records is not None:
            config.model.check_fits(tokenizer.vocab_size, records.max_seq_length)
    description = model_dir.RunDescription(
        task="pretraining",
        model=config.model,
        do_lower_case=tokenizer.do_lower_case,
        vocab_hash=tokenizer.vocab_hash,
        max_seq_length=train_records.max_seq_length,
        labels=(),
        experiment=config.to_dict(),
        data={"train": train_records.identity(), "eval": eval_records.identity() if eval_records else None},
    )
    start_from = _checkpoint_to_start_from(init_checkpoint, config, tokenizer) if init_checkpoint else None
    model_dir.claim(run_dir, description, tokenizer)

    log_unigram = metrics.log_unigram(train_records.piece_counts(), tokenizer.special_ids, config.model.vocab_size)
    keras.utils.set_random_seed(train.seed)
    with distribution.scope():
        state = TrainState(model_dir.make_model(description, DTYPE_POLICIES[train.precision]), train.precision)

    def initialize(state: TrainState) -> None:
        if start_from is not None:
            checkpoints.restore(start_from, named_weights(state.model))
        elif config.model.output_bias_from_unigram:
            state.weights["masked_lm/output_bias"].assign(log_unigram)

    return train_and_evaluate(
        state,
        pretraining_objective(log_unigram),
        partial(train_records.training_dataset, config.masking, train.batch_size, train.seed),
        partial(eval_records.evaluation_dataset, config.eval_masking, train.eval_batch_size) if eval_records else None,
        run_dir,
        train,
        config.optimizer,
        distribution,
        initialize,
        label="pre-training",
    )


def _checkpoint_to_start_from(
    init_checkpoint: str, config: PretrainingConfig, tokenizer: WordPieceTokenizer
) -> checkpoints.Checkpoint:
    """The newest checkpoint of another run, if its weights mean the same in this one."""
    other, other_tokenizer = model_dir.read(init_checkpoint, "--init_checkpoint")
    if other.task != "pretraining":
        raise ValueError(
            f"--init_checkpoint must be a pre-training run's folder. Received: {init_checkpoint!r}, one of {other.task}"
        )
    if (other_tokenizer.vocab_hash, other.do_lower_case) != (tokenizer.vocab_hash, tokenizer.do_lower_case):
        raise ValueError(
            "--init_checkpoint must have the vocabulary and casing of the records, whose hash is "
            f"{tokenizer.vocab_hash[:12]}. Received: {init_checkpoint!r}, with {other_tokenizer.vocab_hash[:12]}"
        )
    differences = [
        f"`model.{name}` is {getattr(other.model, name)!r} there and {getattr(config.model, name)!r} here"
        for name in _ARCHITECTURE
        if getattr(other.model, name) != getattr(config.model, name)
    ]
    if differences:
        raise ValueError(
            f"--init_checkpoint must hold a model of the same size and kind: {'; '.join(differences)}. "
            f"Received: {init_checkpoint!r}"
        )
    return checkpoints.require_newest(init_checkpoint, "--init_checkpoint")
