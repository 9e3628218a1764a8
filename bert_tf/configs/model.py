"""The encoder's configuration and the published sizes by name."""

import dataclasses
from typing import Any, Self

from bert_tf.configs.base import Config, ConfigError, check_choice, check_range

# Number of layers and hidden size of the published models. All have hidden / 64 heads and intermediate = 4 x hidden.
# Base and large: Devlin et al. 2018. The 24 small ones: Turc et al. 2019, "Well-Read Students Learn Better".
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
"""Number of layers and hidden size of every published BERT, by our short names and by Google's."""
_CASED_VOCAB_SIZE = 28996

ATTENTIONS = ("plain", "fused")
"""The implementations of attention. They compute the same, so that a model is trained and used with either."""


@dataclasses.dataclass(frozen=True)
class BertConfig(Config):
    """The encoder's sizes, and the settings in which published checkpoints differ.

    Attributes:
        vocab_size: V, number of tokens.
        hidden_size: D, width of the sequence output.
        num_layers: number of transformer blocks.
        num_heads: N, number of attention heads; it divides `hidden_size`.
        intermediate_size: width of the feed-forward layers.
        hidden_act: `gelu` (by the error function; Google before 2019-02, Hugging Face), `gelu_new` (by tanh; Google
            since then) or `relu`.
        dropout_rate: dropout of activations.
        attention_dropout_rate: dropout of attention probabilities.
        max_position_embeddings: largest length of a row.
        type_vocab_size: number of segments.
        layer_norm_epsilon: constant that LayerNorm adds to the variance.
        initializer_range: standard deviation of random weights.
        position_embedding: `learned` (the published models) or `sinusoidal` (fixed, Vaswani et al. 2017).
        position_initializer: initial values of learned positions. `truncated_normal` is as published. A short
            pre-training learns faster from `sinusoidal`, and faster still from `neighbours`: sinusoids, with attention
            heads that first read the adjacent tokens (`layers.initializers.NeighbourHeads`).
        output_bias_from_unigram: whether the bias of the masked-LM output starts from the log unigram distribution of
            the training tokens instead of zeros, which saves the steps that only learn how frequent tokens are.
        embedding_size: width of factorised embedding tables, which a dense layer maps to `hidden_size` (ALBERT,
            ELECTRA); None for tables of `hidden_size` (BERT).
        recompute: whether training computes each block again in the backward pass instead of keeping its activations.
            The gradients are the same.
        attention: `plain` computes the probabilities of all pairs of tokens as one tensor. `fused` lets one kernel
            compute attention without this tensor, on JAX with a GPU or a TPU alone; the kernels have no dropout of
            probabilities. Where there is no kernel, a trained model is read and used with `plain`.
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
    attention: str = "plain"

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
                "`position_initializer` neighbours needs learned positions, embeddings that are not factorised, and "
                f"heads of even size. Received: position_embedding={self.position_embedding!r}, "
                f"embedding_size={self.embedding_size!r}, hidden_size={self.hidden_size}, num_heads={self.num_heads}"
            )
        for name in ("layer_norm_epsilon", "initializer_range"):
            check_range(name, getattr(self, name), 0.0)
        for name in ("dropout_rate", "attention_dropout_rate"):
            check_range(name, getattr(self, name), 0.0, high=0.999)
        check_choice("attention", self.attention, ATTENTIONS)
        if self.attention == "fused" and self.attention_dropout_rate:
            raise ConfigError(
                "`attention` fused needs `attention_dropout_rate` 0, because its kernels have no dropout of "
                f"probabilities. Received: attention_dropout_rate={self.attention_dropout_rate}"
            )

    def check_fits(self, vocab_size: int, max_seq_length: int = 0, *, num_segments: int = 1) -> None:
        """Check that a vocabulary and rows are not too large for this model.

        Args:
            vocab_size: number of tokens in the vocabulary.
            max_seq_length: tokens in a row.
            num_segments: number of texts in a row, 2 for pairs.

        Raises:
            ConfigError: the model has fewer token embeddings, positions or segments.
        """
        if self.type_vocab_size < num_segments:
            raise ConfigError(
                f"`model.type_vocab_size` must be at least the {num_segments} segments of a pair. "
                f"Received: {self.type_vocab_size}"
            )
        if self.vocab_size < vocab_size:
            raise ConfigError(
                f"`model.vocab_size` must be at least the vocabulary's {vocab_size} tokens. Received: {self.vocab_size}"
            )
        if self.max_position_embeddings < max_seq_length:
            raise ConfigError(
                f"`model.max_position_embeddings` must be at least the rows' length of {max_seq_length}. "
                f"Received: {self.max_position_embeddings}"
            )

    @classmethod
    def named(cls, name: str, **changes: Any) -> Self:
        """Return the configuration of a published size.

        >>> BertConfig.named("bert_mini") == BertConfig.named("uncased_L-4_H-256_A-4")
        True
        >>> BertConfig.named("bert_base", dropout_rate=0.0).dropout_rate
        0.0

        Args:
            name: `bert_tiny`, `bert_mini`, `bert_small`, `bert_medium`, `bert_base` or `bert_large`;
                `bert_{layers}_{hidden}` of the grid of 24; or the name of Google's archive, such as
                `uncased_L-4_H-256_A-4` or `cased_L-12_H-768_A-12`, with the size of its vocabulary.
            **changes: values of other fields.

        Raises:
            ConfigError: there is no such size, or a field is wrong.
        """
        sizes: dict[str, Any] = _sizes_of(name)
        if name.startswith("cased_"):
            sizes["vocab_size"] = _CASED_VOCAB_SIZE
        return cls(**(sizes | changes))

    def with_name(self, name: str) -> Self:
        """Return a copy with the layers, widths and heads of a published size, as `--set model=bert_tiny` gives them.

        Raises:
            ConfigError: there is no such size.
        """
        return self.replace(**_sizes_of(name))


def _sizes_of(name: str) -> dict[str, Any]:
    if name not in PUBLISHED_SIZES:
        raise ConfigError(f"`name` must be one of {', '.join(PUBLISHED_SIZES)}. Received: {name!r}")
    layers, hidden = PUBLISHED_SIZES[name]
    return {
        "num_layers": layers,
        "hidden_size": hidden,
        "num_heads": hidden // 64,
        "intermediate_size": 4 * hidden,
    }
