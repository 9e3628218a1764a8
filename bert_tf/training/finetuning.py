"""Fine-tuning: a pre-trained encoder learns a labelled task."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import keras

from bert_tf.configs import BertConfig, FinetuningConfig
from bert_tf.models.weights import named_weights
from bert_tf.objectives import classification_objective
from bert_tf.tokenization import WordPieceTokenizer
from bert_tf.training import checkpoints, model_dir
from bert_tf.training.distribution import Distribution
from bert_tf.training.loop import train_and_evaluate
from bert_tf.training.step import DTYPE_POLICIES, TrainState


class LabelledExamples(Protocol):
    """What fine-tuning reads; `data_pipelines.finetuning.classification.LabelledFile` is one."""

    path: str

    def label_names(self) -> list[str]:
        """The labels that occur, in the order of their ids."""
        ...

    def encode(self, labels: Sequence[str], tokenizer: WordPieceTokenizer) -> Any:
        """Rows with `training_dataset(batch_size, seed, start_step)` and `evaluation_dataset(batch_size)`."""
        ...


def finetune(
    config: FinetuningConfig,
    train_examples: LabelledExamples,
    eval_examples: LabelledExamples | None,
    run_dir: str,
    distribution: Distribution,
    init_checkpoint: str | None = None,
    tokenizer: WordPieceTokenizer | None = None,
) -> dict[str, float]:
    """Fine-tune a classifier, or go on fine-tuning it, in `run_dir`.

    Args:
        config: the experiment.
        train_examples: what is learnt; their labels are the classes.
        eval_examples: the same, to evaluate on; None for no evaluation.
        run_dir: the run's folder.
        distribution: where it runs.
        init_checkpoint: folder of the run whose encoder, vocabulary and casing to take.
        tokenizer: instead, for a start from random weights of `config.model`.

    Returns:
        Loss (nats) and accuracy on `eval_examples`, or, without them, on the last steps.

    Raises:
        FileNotFoundError: `init_checkpoint` is no run's folder, or holds no complete checkpoint.
        ValueError: labels, lengths, sizes or experiment do not agree; the message says which.
        FloatingPointError: the loss is not finite.
    """
    if (init_checkpoint is None) == (tokenizer is None):
        raise ValueError(
            "one of --init_checkpoint (pre-trained weights) and --vocab_file (random weights) must be given. "
            f"Received: {'neither' if tokenizer is None else 'both'}"
        )
    task, train = config.task, config.train
    encoder_config, start_from = config.model, None
    if init_checkpoint is not None:
        pretrained, tokenizer = model_dir.read(init_checkpoint, "--init_checkpoint")
        encoder_config = pretrained.model
        start_from = checkpoints.require_newest(init_checkpoint, "--init_checkpoint")
    assert tokenizer is not None
    encoder_config = _with_dropout(encoder_config, task.encoder_dropout_rate)
    encoder_config.check_fits(tokenizer.vocab_size, task.max_seq_length)
    labels = train_examples.label_names()
    train_rows = train_examples.encode(labels, tokenizer)
    eval_rows = eval_examples.encode(labels, tokenizer) if eval_examples else None
    description = model_dir.RunDescription(
        task="classification",
        model=encoder_config,
        do_lower_case=tokenizer.do_lower_case,
        vocab_hash=tokenizer.vocab_hash,
        max_seq_length=task.max_seq_length,
        labels=tuple(labels),
        experiment=config.to_dict(),
        data={
            "train": train_examples.path,
            "eval": eval_examples.path if eval_examples else None,
            "init_checkpoint": init_checkpoint,
        },
    )
    model_dir.claim(run_dir, description, tokenizer)

    keras.utils.set_random_seed(train.seed)
    with distribution.scope():
        state = TrainState(model_dir.make_model(description, DTYPE_POLICIES[train.precision]), train.precision)

    def initialize(state: TrainState) -> None:
        if start_from is not None:
            weights = named_weights(state.model).items()
            checkpoints.restore(start_from, {name: weight for name, weight in weights if name.startswith("encoder/")})

    return train_and_evaluate(
        state,
        classification_objective(),
        partial(train_rows.training_dataset, train.batch_size, train.seed),
        partial(eval_rows.evaluation_dataset, train.eval_batch_size) if eval_rows else None,
        run_dir,
        train,
        config.optimizer,
        distribution,
        initialize,
        label="fine-tuning",
    )


def _with_dropout(encoder: BertConfig, rate: float | None) -> BertConfig:
    return encoder if rate is None else encoder.replace(dropout_rate=rate, attention_dropout_rate=rate)
