"""The start of a fine-tuning: pre-trained weights or random ones, their tokenizer and their sizes."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from bert_tf.configs import BertConfig, FinetuningConfig
from bert_tf.conversion.heads import made_up_labels
from bert_tf.conversion.loading import read_pretrained
from bert_tf.conversion.pretrained import Pretrained
from bert_tf.models.weights import named_weights
from bert_tf.tasks.base import Member
from bert_tf.tokenization.reachability import vocabulary_warnings
from bert_tf.tokenization.wordpiece import WordPieceTokenizer
from bert_tf.training.distillation import check_one_start, student_start
from bert_tf.training.engine import State
from bert_tf.utils.arguments import renamed


def starting_point(
    config: FinetuningConfig,
    members: Sequence[Member],
    *,
    init_checkpoint: str | None,
    tokenizer: WordPieceTokenizer | None,
    allow_random_heads: bool,
    teacher: Pretrained | None = None,
) -> tuple[Pretrained | None, WordPieceTokenizer, BertConfig]:
    """Return the pre-trained weights (None for random ones), the tokenizer and the encoder's configuration.

    Args:
        config: the experiment.
        members: the tasks, with the labels of the examples.
        init_checkpoint: see `finetuning.finetune`, also for the other arguments.
        tokenizer: see there.
        allow_random_heads: see there.
        teacher: the teacher of a student that is distilled (`config.distill`); None for none.

    Raises:
        FileNotFoundError: `init_checkpoint` does not exist or is incomplete.
        ValueError: it lacks a head, or sizes and settings do not agree.
    """
    pretrained, encoder = None, config.model
    check_one_start(config.distill, init_checkpoint=init_checkpoint, vocab_file=tokenizer)
    if teacher is not None and init_checkpoint is None:
        pretrained, own_tokenizer, encoder = student_start(teacher, config.distill, encoder)
        tokenizer = tokenizer or own_tokenizer
    elif (init_checkpoint is None) == (tokenizer is None):
        raise ValueError(
            "one of `init_checkpoint` (pre-trained weights) and `vocab_file` (random weights) must be given. "
            f"Received: {'neither' if tokenizer is None else 'both'}"
        )
    elif init_checkpoint is not None:
        with renamed(path="init_checkpoint"):
            pretrained = read_pretrained(init_checkpoint, config.task.kind)
    if pretrained is not None:
        pooler = ("encoder/pooler",) if config.reinitialize_layers else ()  # starts anew with the last layers
        for member in members:
            kind, new = member.task.kind, (*member.task.heads[-1:], *pooler)
            pretrained.check_heads(kind, allow_random_heads, new=new)
            _warn_of_other_labels(pretrained, kind, member.labels)
        tokenizer, encoder = pretrained.tokenizer(), pretrained.config
    assert tokenizer is not None
    for contradiction in vocabulary_warnings(tokenizer):
        logging.warning("%s", contradiction)
    encoder = _executed_as(config.model, _with_dropout(encoder, config.task.encoder_dropout_rate))
    encoder.check_fits(tokenizer.vocab_size, config.task.max_seq_length, num_segments=config.task.num_segments)
    _check_reinitialized(config, encoder)
    return pretrained, tokenizer, encoder


def initialize(
    state: State, pretrained: Pretrained | None, reinitialize_layers: int, *, heads: Mapping[str, str] | None = None
) -> None:
    """Assign the pre-trained weights to the encoder of a fresh model.

    Args:
        state: the state of the run, whose model is changed.
        pretrained: the pre-trained weights; None to change nothing.
        reinitialize_layers: number of last blocks that keep their fresh weights, together with the pooler. A pooler
            that `pretrained` lacks keeps them too.
        heads: heads that go on with the weights of `pretrained`, where it has them: for the start of the names of a
            head's weights, the start of their names in `pretrained` (`Trainable.kept_heads`); None for none.

    Raises:
        ValueError: a weight of the encoder is missing.
    """
    if pretrained is None:
        return
    weights = named_weights(state.model)
    encoder = {name: weight for name, weight in weights.items() if name.startswith("encoder/")}
    kept = pretrained.config.num_layers - reinitialize_layers
    missing = []
    for name, weight in encoder.items():
        block = re.match(r"encoder/block_(\d+)/", name)
        is_pooler = name.startswith("encoder/pooler/")
        if reinitialize_layers and (is_pooler or (block and int(block[1]) >= kept)):
            continue
        if name in pretrained.weights:
            weight.assign(pretrained.weights[name])
        elif is_pooler:
            missing.append(name)
        else:
            raise ValueError(
                f"`init_checkpoint` must hold the whole encoder; {name!r} is missing. Received: {pretrained.source!r}"
            )
    if missing:
        logging.warning("%s has no pooler: it starts from random weights", pretrained.source)
    for head, source in (heads or {}).items():
        own = {name: source + name.removeprefix(head) for name in weights if name.startswith(f"{head}/")}
        if all(name in pretrained.weights for name in own.values()):
            for name, source_name in own.items():
                weights[name].assign(pretrained.weights[source_name])
        else:
            logging.warning("%s has no head %s: it starts from random weights", pretrained.source, source)


def _with_dropout(encoder: BertConfig, rate: float | None) -> BertConfig:
    return encoder if rate is None else encoder.replace(dropout_rate=rate, attention_dropout_rate=rate)


def _executed_as(model: BertConfig, encoder: BertConfig) -> BertConfig:
    """Return an encoder with the options of execution of the experiment's model."""
    changes: dict[str, Any] = {"recompute": model.recompute, "attention": model.attention}
    if model.attention == "fused":
        changes["attention_dropout_rate"] = model.attention_dropout_rate  # 0, as its kernels need
    return encoder.replace(**changes)


def _check_reinitialized(config: FinetuningConfig, encoder: BertConfig) -> None:
    if config.reinitialize_layers > encoder.num_layers:
        raise ValueError(
            f"`reinitialize_layers` must be at most the encoder's {encoder.num_layers} layers. "
            f"Received: {config.reinitialize_layers}"
        )


def _warn_of_other_labels(pretrained: Pretrained, kind: str, labels: Sequence[str]) -> None:
    """Warn if a checkpoint of the same task has other labels, as happens with a wrong file or column."""
    made_up = set(made_up_labels(len(pretrained.labels)))
    if pretrained.task == kind and set(pretrained.labels) not in (set(), made_up, set(labels)):
        logging.warning(
            "%s is for the labels %s, but the training examples have %s: the new head learns these",
            pretrained.source,
            ", ".join(pretrained.labels),
            ", ".join(labels),
        )
