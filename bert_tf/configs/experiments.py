"""The configurations of whole experiments: pre-training and fine-tuning."""

import dataclasses
from typing import Self

from bert_tf.configs.base import Config, ConfigError, check_choice, check_range
from bert_tf.configs.distillation import DistillConfig
from bert_tf.configs.generation_metrics import GENERATION_METRICS
from bert_tf.configs.model import BertConfig
from bert_tf.configs.multi_task import MultiTaskConfig
from bert_tf.configs.privacy import PrivacyConfig
from bert_tf.configs.tasks import AnyTaskConfig, ClassificationConfig, Seq2SeqConfig
from bert_tf.configs.training import OptimizerConfig, PhaseConfig, TrainConfig


@dataclasses.dataclass(frozen=True)
class MaskingConfig(Config):
    """The choice of the tokens to predict, which is made when a batch is read (`data_pipelines/input/masking.py`).

    Attributes:
        masked_lm_rate: share of a sequence's tokens to predict; `[CLS]` and `[SEP]` count towards its length.
        max_predictions_per_seq: P, the largest number of predictions in a row. None derives it from the rate and the
            length (`features.predictions_per_row`).
        strategy: `token` chooses tokens, `whole_word` words, `ngram` (ALBERT) and `span` (SpanBERT) runs of words.
        max_span_words: number of words in the longest run. None for the published 3 (`ngram`) and 10 (`span`).
        span_probability: parameter of the geometric distribution of the number of words in a `span`.
        mask_share: share of the chosen tokens that become `[MASK]`.
        random_share: share of the chosen tokens that become a random token. The rest stay as they are.
    """

    masked_lm_rate: float = 0.15
    max_predictions_per_seq: int | None = None
    strategy: str = "token"
    max_span_words: int | None = None
    span_probability: float = 0.2
    mask_share: float = 0.8
    random_share: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("masked_lm_rate", self.masked_lm_rate, 1e-6, high=1.0)
        if self.max_predictions_per_seq is not None:
            check_range("max_predictions_per_seq", self.max_predictions_per_seq, 1)
        check_choice("strategy", self.strategy, ("token", "whole_word", "ngram", "span"))
        if self.max_span_words is not None:
            check_range("max_span_words", self.max_span_words, 1)
        check_range("span_probability", self.span_probability, 1e-6, high=1.0)
        check_range("mask_share", self.mask_share, 0.0, high=1.0)
        check_range("mask_share + random_share", self.mask_share + self.random_share, 0.0, high=1.0 + 1e-9)

    def longest_span(self) -> int:
        """Return the number of words in the longest run that `ngram` and `span` choose."""
        return self.max_span_words or (3 if self.strategy == "ngram" else 10)


@dataclasses.dataclass(frozen=True)
class MixtureConfig(Config):
    """The kinds of rows in a pre-training, by their frequencies (`data_pipelines/input/mixture.py`).

    The defaults are BERT's. 1 for each kind is UniLM's objective without its right-to-left rows (Dong et al. 2019,
    "Unified Language Model Pre-training"), and makes a model that `--task seq2seq` fine-tunes from a good start.

    Attributes:
        bidirectional: frequency of rows whose tokens read all tokens of their sequence. Next sentences are predicted in
            these rows alone.
        left_to_right: frequency of rows whose tokens read no token after them.
        seq2seq: frequency of rows whose tokens of A read A, and whose tokens of B read A and no token after them.
    """

    bidirectional: float = 1.0
    left_to_right: float = 0.0
    seq2seq: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("bidirectional", "left_to_right", "seq2seq"):
            check_range(name, getattr(self, name), 0.0, high=1e6)
        if not self.bidirectional + self.left_to_right + self.seq2seq:
            raise ConfigError("`bidirectional`, `left_to_right` or `seq2seq` must be above 0. Received: 0 for each")

    @property
    def is_bidirectional(self) -> bool:
        """True if all rows are bidirectional, so that their tokens have no `order`."""
        return not self.left_to_right and not self.seq2seq


@dataclasses.dataclass(frozen=True)
class PretrainingConfig(Config):
    """A pre-training experiment, as `bert-tf pretrain --config` takes it.

    Attributes:
        model: sizes of the encoder.
        masking: masks of the training batches.
        eval_masking: masks of the evaluation; by default the published 15 % of tokens, so that runs with different
            training masks can be compared.
        mixture: the kinds of rows in the training batches.
        eval_mixture: the kinds of rows in the evaluation; by default bidirectional ones alone.
        optimizer: the update rule.
        train: the training loop.
        phases: consecutive parts of the training, on records of different lengths; empty for one length.
        distill: the teacher, a masked language model with the vocabulary of the records, and what is learnt from it.
    """

    model: BertConfig = dataclasses.field(default_factory=BertConfig)
    masking: MaskingConfig = MaskingConfig()
    eval_masking: MaskingConfig = MaskingConfig()
    mixture: MixtureConfig = MixtureConfig()
    eval_mixture: MixtureConfig = MixtureConfig()
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    phases: tuple[PhaseConfig, ...] = ()
    distill: DistillConfig = dataclasses.field(default_factory=DistillConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = sum(phase.share for phase in self.phases)
        if self.phases and abs(shares - 1.0) > 1e-3:
            raise ConfigError(f"the `share`s of all `phases` must add up to 1. Received: {shares:g}")
        ordered = not (self.mixture.is_bidirectional and self.eval_mixture.is_bidirectional)
        if self.model.attention == "fused" and ordered:
            raise ConfigError(
                "`model.attention` must be plain for a `mixture` or `eval_mixture` with rows of other kinds than "
                "bidirectional: the kernels of fused attention know no order within a sequence. Received: fused"
            )


@dataclasses.dataclass(frozen=True)
class FinetuningConfig(Config):
    """A fine-tuning experiment, as `bert-tf finetune --config` takes it.

    Attributes:
        model: sizes of an encoder that starts from random weights. An encoder that starts from a checkpoint has the
            checkpoint's sizes, and only `model.recompute` and `model.attention` apply to it. With fused attention, it
            has no dropout of attention probabilities.
        task: the task and its settings.
        optimizer: the update rule.
        train: the training loop.
        num_epochs: number of passes over the training examples. It sets `train.num_steps`, `train.warmup_steps` (by
            `warmup_share`) and `train.eval_every` (by `evals_per_epoch`). None leaves those as they are.
        warmup_share: share of the steps in which the learning rate warms up.
        evals_per_epoch: number of evaluations in each epoch; 0 for one at the end.
        reinitialize_layers: number of the encoder's last blocks that start from random weights, together with the
            pooler (Zhang et al. 2021, "Revisiting few-sample BERT fine-tuning").
        keep_best: whether the result has the weights of the best evaluation instead of the last ones.
        patience: number of evaluations without a better score after which training stops; 0 for never.
        metric: the score that `keep_best` and `patience` use; None for the task's own. Lower errors and losses
            (`*loss`, `mse`, `perplexity`) are better.
        distill: the teacher, a model for the same task and labels, and what is learnt from it.
        privacy: whether and how the training is differentially private.
    """

    model: BertConfig = dataclasses.field(default_factory=BertConfig)
    task: AnyTaskConfig | MultiTaskConfig = dataclasses.field(default_factory=ClassificationConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=lambda: OptimizerConfig(bias_correction=True))
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    num_epochs: float | None = None
    warmup_share: float = 0.1
    evals_per_epoch: int = 1
    reinitialize_layers: int = 0
    keep_best: bool = True
    patience: int = 0
    metric: str | None = None
    distill: DistillConfig = dataclasses.field(default_factory=DistillConfig)
    privacy: PrivacyConfig = dataclasses.field(default_factory=PrivacyConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_epochs is not None:
            check_range("num_epochs", self.num_epochs, 1e-6)
        check_range("warmup_share", self.warmup_share, 0.0, high=1.0)
        for name in ("evals_per_epoch", "reinitialize_layers", "patience"):
            check_range(name, getattr(self, name), 0)
        if self.distill.teacher is not None and isinstance(self.task, MultiTaskConfig):
            raise ConfigError(f"`distill.teacher` must be none for several tasks. Received: {self.distill.teacher!r}")
        if self.model.attention == "fused" and self.task.encoder_dropout_rate:
            raise ConfigError(
                "`model.attention` fused needs `task.encoder_dropout_rate` 0 or none, because that is the dropout of "
                f"attention probabilities too. Received: encoder_dropout_rate={self.task.encoder_dropout_rate}"
            )

    @property
    def generation_metrics(self) -> tuple[str, ...]:
        """The metrics of generated texts that evaluations compute, for any of the tasks."""
        return tuple(
            dict.fromkeys(metric for name in self.task.by_name() for metric in self.generation_metrics_of(name))
        )

    def generation_metrics_of(self, name: str) -> tuple[str, ...]:
        """Return the metrics of generated texts that evaluations compute for one task: `metric` too, if it is one.

        Args:
            name: the name of the task, "" for an experiment on one.
        """
        task = self.task.by_name()[name]
        if not isinstance(task, Seq2SeqConfig):
            return ()
        metric = (self.metric or "").removeprefix(f"{name}/")
        own = [metric] if metric in GENERATION_METRICS else []
        return tuple(dict.fromkeys([*task.generation_metrics, *own]))

    def with_steps(self, steps_per_epoch: int) -> Self:
        """Return the configuration with the steps that follow from `num_epochs`; unchanged if that is None.

        Args:
            steps_per_epoch: number of batches in a pass over the training examples.
        """
        if self.num_epochs is None:
            return self
        num_steps = max(1, round(self.num_epochs * steps_per_epoch))
        eval_every = -(-steps_per_epoch // self.evals_per_epoch) if self.evals_per_epoch else 0
        steps = {
            "num_steps": num_steps,
            "warmup_steps": round(self.warmup_share * num_steps),
            "eval_every": min(eval_every, num_steps),
        }
        return self.replace(train=self.train.replace(**steps))
