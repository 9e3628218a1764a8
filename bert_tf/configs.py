"""Configurations: frozen dataclasses, read strictly, changed by name.

A configuration is data: it holds no objects, and its dictionary form (`to_dict`) is what stands in
`config.json` beside a checkpoint. `from_dict` refuses unknown keys and values of another type, so that a
misspelt field stops a run in its first second instead of being ignored.
"""

import dataclasses
from typing import Any, Self

from bert_tf.strict_config import Config, ConfigError, check_choice, check_range
from bert_tf.task_configs import AnyTaskConfig, ClassificationConfig
from bert_tf.train_configs import OptimizerConfig, PhaseConfig, TrainConfig

# Layers and hidden size of the published models; heads = hidden / 64, intermediate = 4 x hidden.
# The 24 small ones: Turc et al. 2019, "Well-Read Students Learn Better"; base and large: Devlin et al. 2018.
_NAMED_SIZES = {
    "bert_tiny": (2, 128),
    "bert_mini": (4, 256),
    "bert_small": (4, 512),
    "bert_medium": (8, 512),
    "bert_base": (12, 768),
    "bert_large": (24, 1024),
}
_GRID = [(layers, hidden) for layers in (2, 4, 6, 8, 10, 12) for hidden in (128, 256, 512, 768)]
_LARGE = _NAMED_SIZES["bert_large"]
PUBLISHED_SIZES: dict[str, tuple[int, int]] = (
    _NAMED_SIZES
    | {f"bert_{layers}_{hidden}": (layers, hidden) for layers, hidden in _GRID}
    | {f"uncased_L-{layers}_H-{hidden}_A-{hidden // 64}": (layers, hidden) for layers, hidden in [*_GRID, _LARGE]}
    | {"cased_L-12_H-768_A-12": _NAMED_SIZES["bert_base"], "cased_L-24_H-1024_A-16": _LARGE}
)
"""(number of layers, hidden size) of every published BERT, by our short names and by Google's."""
_CASED_VOCAB_SIZE = 28996


@dataclasses.dataclass(frozen=True)
class BertConfig(Config):
    """The encoder: its sizes, and what published checkpoints differ in.

    Attributes:
        hidden_act: `gelu` (erf; Google before 2019-02, Hugging Face), `gelu_new` (tanh; Google since), `relu`.
        position_embedding: `learned` (the published models) or `sinusoidal` (fixed, Vaswani et al. 2017).
        position_initializer: what learned positions start from: `truncated_normal` (as published) or
            `sinusoidal`, which a short pre-training learns from faster, or `neighbours`: sinusoids too, and attention
            heads that start by reading the pieces next to them, which is faster still
            (`layers.initializers.NeighbourHeads`).
        output_bias_from_unigram: start the masked-LM output bias from the log unigram distribution of the
            training pieces instead of zeros; saves the steps that only learn how frequent pieces are.
        embedding_size: of the embedding tables, where they are factorised: a dense layer leads from there to
            `hidden_size` (ALBERT, ELECTRA); None for `hidden_size` (BERT).
        recompute: in training, compute each block again in the backward pass instead of keeping its activations; the
            gradients are the same.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    dropout_rate: float = 0.1
    attention_dropout_rate: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_epsilon: float = 1e-12
    initializer_range: float = 0.02
    position_embedding: str = "learned"
    position_initializer: str = "truncated_normal"
    output_bias_from_unigram: bool = False
    embedding_size: int | None = None
    recompute: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("vocab_size", "hidden_size", "num_layers", "num_heads", "intermediate_size"):
            check_range(name, getattr(self, name), 1)
        check_range("max_position_embeddings", self.max_position_embeddings, 1)
        check_range("type_vocab_size", self.type_vocab_size, 1)
        if self.embedding_size is not None:
            check_range("embedding_size", self.embedding_size, 1)
        if self.hidden_size % self.num_heads:
            raise ConfigError(
                "`hidden_size` must be a multiple of `num_heads`. "
                f"Received: hidden_size={self.hidden_size}, num_heads={self.num_heads}"
            )
        check_choice("hidden_act", self.hidden_act, ("gelu", "gelu_new", "relu"))
        check_choice("position_embedding", self.position_embedding, ("learned", "sinusoidal"))
        starts = ("truncated_normal", "sinusoidal", "neighbours")
        check_choice("position_initializer", self.position_initializer, starts)
        if self.position_initializer == "neighbours" and (
            self.position_embedding != "learned"
            or self.embedding_size not in (None, self.hidden_size)
            or self.hidden_size // self.num_heads % 2
        ):
            raise ConfigError(
                "`position_initializer` neighbours needs learned positions, no factorised embedding and heads of even "
                f"size. Received: position_embedding={self.position_embedding!r}, "
                f"embedding_size={self.embedding_size!r}, hidden_size={self.hidden_size}, num_heads={self.num_heads}"
            )
        for name in ("layer_norm_epsilon", "initializer_range"):
            check_range(name, getattr(self, name), 0.0)
        for name in ("dropout_rate", "attention_dropout_rate"):
            check_range(name, getattr(self, name), 0.0, 0.999)

    def check_fits(self, vocab_size: int, max_seq_length: int) -> None:
        """Refuse a vocabulary or rows that this model has no place for.

        Raises:
            ConfigError: there are fewer embeddings than pieces, or fewer positions than a row is long.
        """
        if self.vocab_size < vocab_size:
            raise ConfigError(
                f"`model.vocab_size` must be at least the vocabulary's {vocab_size} pieces. Received: {self.vocab_size}"
            )
        if self.max_position_embeddings < max_seq_length:
            raise ConfigError(
                f"`model.max_position_embeddings` must be at least the rows' length of {max_seq_length}. "
                f"Received: {self.max_position_embeddings}"
            )

    @classmethod
    def from_file(cls, path: str) -> "BertConfig":
        """The configuration in a `bert_config.json` (google-research/bert) or `config.json` (Hugging Face).

        Args:
            path: the file, local or remote.

        Raises:
            OSError: it cannot be read.
            ValueError: it holds no BERT, or a setting that this model does not have; the message names both.
        """
        # On first use: other modules read this one without waiting for TensorFlow, which reads remote files.
        from bert_tf import files
        from bert_tf.config_files import read_config

        return read_config(files.read_json(path), path)

    @classmethod
    def named(cls, name: str, **changes: Any) -> Self:
        """A published size.

        >>> BertConfig.named("bert_mini") == BertConfig.named("uncased_L-4_H-256_A-4")
        True
        >>> BertConfig.named("bert_base", dropout_rate=0.0).dropout_rate
        0.0

        Args:
            name: `bert_tiny`, `bert_mini`, `bert_small`, `bert_medium`, `bert_base`, `bert_large`;
                `bert_{layers}_{hidden}` of the grid of 24; or the name of Google's archive, such as
                `uncased_L-4_H-256_A-4` or `cased_L-12_H-768_A-12`, with the size of its vocabulary.
            **changes: other fields.

        Raises:
            ConfigError: there is no such size, or a changed field is wrong.
        """
        if name not in PUBLISHED_SIZES:
            raise ConfigError(f"unknown size; there are: {', '.join(PUBLISHED_SIZES)}. Received: {name!r}")
        layers, hidden = PUBLISHED_SIZES[name]
        sizes: dict[str, Any] = {
            "num_layers": layers,
            "hidden_size": hidden,
            "num_heads": hidden // 64,
            "intermediate_size": 4 * hidden,
        }
        if name.startswith("cased_"):
            sizes["vocab_size"] = _CASED_VOCAB_SIZE
        return cls(**(sizes | changes))


@dataclasses.dataclass(frozen=True)
class MaskingConfig(Config):
    """How the pieces to predict are chosen when a batch is read (`data_pipelines/masking.py`).

    Attributes:
        masked_lm_rate: share of a sequence's pieces that are predicted, `[CLS]` and `[SEP]` counted in its length.
        max_predictions_per_seq: places for predictions in a row, P; None derives it from the rate and the
            length (`features.predictions_per_row`).
        strategy: `token` chooses pieces, `whole_word` words, `ngram` (ALBERT) and `span` (SpanBERT) runs of words.
        max_span_words: longest run; None for the published 3 of `ngram` and 10 of `span`.
        span_probability: of the geometric distribution of a `span`'s words.
        mask_share, random_share: of the chosen pieces, the share that becomes `[MASK]`, and a random piece;
            the rest stays as it is.
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
        check_range("masked_lm_rate", self.masked_lm_rate, 1e-6, 1.0)
        if self.max_predictions_per_seq is not None:
            check_range("max_predictions_per_seq", self.max_predictions_per_seq, 1)
        check_choice("strategy", self.strategy, ("token", "whole_word", "ngram", "span"))
        if self.max_span_words is not None:
            check_range("max_span_words", self.max_span_words, 1)
        check_range("span_probability", self.span_probability, 1e-6, 1.0)
        check_range("mask_share", self.mask_share, 0.0, 1.0)
        check_range("mask_share + random_share", self.mask_share + self.random_share, 0.0, 1.0 + 1e-9)

    def longest_span(self) -> int:
        """Words of the longest run that `ngram` and `span` choose."""
        return self.max_span_words or (3 if self.strategy == "ngram" else 10)


@dataclasses.dataclass(frozen=True)
class PretrainingConfig(Config):
    """A pre-training experiment: what `experiments.pretrain --config FILE` gets from the file.

    Attributes:
        masking: of the batches that are trained on.
        eval_masking: of the evaluation; the published 15 % of pieces, so that runs with other masks compare.
        phases: parts of the training, one after another, on records of different lengths; empty for one length.
    """

    model: BertConfig = BertConfig()
    masking: MaskingConfig = MaskingConfig()
    eval_masking: MaskingConfig = MaskingConfig()
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    phases: tuple[PhaseConfig, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = sum(phase.share for phase in self.phases)
        if self.phases and abs(shares - 1.0) > 1e-3:
            raise ConfigError(f"the `share`s of all `phases` must make 1. Received: {shares:g}")


@dataclasses.dataclass(frozen=True)
class FinetuningConfig(Config):
    """A fine-tuning experiment: what `experiments.finetune --config FILE` gets from the file.

    The encoder's own configuration comes from the checkpoint it starts from, all but `model.recompute`; the rest of
    `model` serves a start from random weights only.

    Attributes:
        num_epochs: passes over the training examples; sets `train.num_steps`, `train.warmup_steps` (by
            `warmup_share`), and `train.eval_every` (by `evals_per_epoch`). None leaves those as they are.
        warmup_share: of the steps.
        evals_per_epoch: evaluations in each epoch; 0 for one at the end.
        reinitialize_layers: how many of the encoder's last blocks start from random weights, and the pooler with them
            (Zhang et al. 2021, "Revisiting few-sample BERT fine-tuning").
        keep_best: whether the weights of the best evaluation are the result, instead of the last ones.
        patience: evaluations without a better score after which training stops; 0 for never.
        metric: the score that `keep_best` and `patience` go by; None for the task's own. Errors and losses
            (`*loss`, `mse`) are the better the lower.
    """

    model: BertConfig = BertConfig()
    task: AnyTaskConfig = dataclasses.field(default_factory=ClassificationConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=lambda: OptimizerConfig(bias_correction=True))
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    num_epochs: float | None = None
    warmup_share: float = 0.1
    evals_per_epoch: int = 1
    reinitialize_layers: int = 0
    keep_best: bool = True
    patience: int = 0
    metric: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_epochs is not None:
            check_range("num_epochs", self.num_epochs, 1e-6)
        check_range("warmup_share", self.warmup_share, 0.0, 1.0)
        for name in ("evals_per_epoch", "reinitialize_layers", "patience"):
            check_range(name, getattr(self, name), 0)

    def with_steps(self, steps_per_epoch: int) -> Self:
        """The configuration with `num_epochs` told in steps; itself, where it is None."""
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
