"""Pre-training: masked-LM and next-sentence prediction on records of text."""

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Protocol

import keras
import numpy as np

from bert_tf import metrics
from bert_tf.configs import MaskingConfig, PretrainingConfig
from bert_tf.conversion.loading import read_pretrained
from bert_tf.conversion.pretrained import Pretrained
from bert_tf.objectives import pretraining_objective
from bert_tf.tokenization import WordPieceTokenizer
from bert_tf.training import model_dir
from bert_tf.training.distribution import Distribution, InputPart
from bert_tf.training.loop import make_evaluation, train_and_evaluate
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

    def training_dataset(
        self,
        masking: MaskingConfig,
        batch_size: int,
        seed: int,
        start_step: int,
        input_pipeline_id: int,
        num_input_pipelines: int,
    ) -> Any:
        """Endless `features.pretraining_batch`es, or one pipeline's rows of them: a function of its arguments alone."""
        ...

    def describe_batch(self, batch_size: int, seed: int, step: int) -> str:
        """Which records the batch of a step holds, for people."""
        ...

    def evaluation_dataset(self, masking: MaskingConfig, batch_size: int) -> Any:
        """Every record once, with fixed masks."""
        ...

    def naming_bad_records(self) -> AbstractContextManager[None]:
        """A context in which an error of reading these records becomes a ValueError that names shard and record."""
        ...


def pretrain(
    config: PretrainingConfig,
    train_records: PretrainingRecords,
    eval_records: PretrainingRecords | None,
    run_dir: str,
    distribution: Distribution,
    init_checkpoint: str | None = None,
    allow_random_heads: bool = False,
) -> dict[str, float]:
    """Pre-train, or go on pre-training, in `run_dir`.

    Args:
        config: the experiment.
        train_records: what is learnt.
        eval_records: records of held-out documents, of the same vocabulary; None for no evaluation.
        run_dir: the run's folder.
        distribution: where it runs.
        init_checkpoint: whose weights to start from: whatever `conversion.loading.read_pretrained` takes (a run's
            folder, one of Hugging Face or Google, a KerasHub preset, a name on a hub).
        allow_random_heads: whether a head that `init_checkpoint` lacks may start from random weights.

    Returns:
        Losses (nats) and metrics on `eval_records`, or, without them, on the last steps.

    Raises:
        FileNotFoundError: `init_checkpoint` does not exist, or is not complete.
        ValueError: vocabulary, lengths, sizes or experiment do not agree, or a record cannot be used; the message says
            which.
        FloatingPointError: the loss or the gradient is not finite.
        Preempted: SIGTERM came; a checkpoint of the last step stands.
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
    start_from = _weights_to_start_from(init_checkpoint, config, tokenizer) if init_checkpoint else None
    if start_from is not None:
        start_from.check_heads("pretraining", allow_random_heads)
    with (
        model_dir.claimed(run_dir, description, tokenizer, distribution.is_chief) as lock,
        train_records.naming_bad_records(),
        eval_records.naming_bad_records() if eval_records else nullcontext(),
    ):
        log_unigram = metrics.log_unigram(train_records.piece_counts(), tokenizer.special_ids, config.model.vocab_size)
        keras.utils.set_random_seed(train.seed)
        with distribution.scope():
            state = TrainState(model_dir.make_model(description, DTYPE_POLICIES[train.precision]), train.precision)

        def initialize(state: TrainState) -> None:
            if start_from is not None:
                start_from.assign_to(state.model, "pretraining", allow_random_heads)
            if config.model.output_bias_from_unigram and (start_from is None or "masked_lm" not in start_from.heads):
                state.weights["masked_lm/output_bias"].assign(log_unigram)

        objective = pretraining_objective(log_unigram)
        evaluation = make_evaluation(state.model, objective, distribution)

        def train_data(start: int, part: InputPart) -> Any:
            return train_records.training_dataset(
                config.masking, train.batch_size, train.seed, start, part.index, part.count
            )

        def evaluate() -> dict[str, float]:
            assert eval_records is not None
            return evaluation(eval_records.evaluation_dataset(config.eval_masking, train.eval_batch_size))

        return train_and_evaluate(
            state,
            objective,
            train_data,
            evaluate if eval_records else None,
            run_dir,
            train,
            config.optimizer,
            distribution,
            initialize,
            label="pre-training",
            describe_batch=partial(train_records.describe_batch, train.batch_size, train.seed),
            still_held=lock.check,
        )


def _weights_to_start_from(
    init_checkpoint: str, config: PretrainingConfig, tokenizer: WordPieceTokenizer
) -> Pretrained:
    """Published weights, or another run's, if they mean the same in this one."""
    other = read_pretrained(init_checkpoint, "--init_checkpoint")
    other_tokenizer = other.tokenizer()
    if (other_tokenizer.vocab_hash, other.do_lower_case) != (tokenizer.vocab_hash, tokenizer.do_lower_case):
        raise ValueError(
            "--init_checkpoint must have the vocabulary and casing of the records, whose hash is "
            f"{_vocabulary(tokenizer)}. Received: {init_checkpoint!r}, with {_vocabulary(other_tokenizer)}"
        )
    differences = [
        f"`model.{name}` is {getattr(other.config, name)!r} there and {getattr(config.model, name)!r} here"
        for name in _ARCHITECTURE
        if getattr(other.config, name) != getattr(config.model, name)
    ]
    if differences:
        raise ValueError(
            f"--init_checkpoint must hold a model of the same size and kind: {'; '.join(differences)}. "
            f"Received: {init_checkpoint!r}"
        )
    return other


def _vocabulary(tokenizer: WordPieceTokenizer) -> str:
    return f"{tokenizer.vocab_hash[:12]} ({'uncased' if tokenizer.do_lower_case else 'cased'})"
