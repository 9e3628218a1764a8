"""The options by which a model generates texts."""

import dataclasses

from bert_tf.configs.base import Config


@dataclasses.dataclass(frozen=True)
class DecodingOptions(Config):
    """The options of generation; those of `Predictor.generate`, with numbers for what it may leave open.

    Attributes:
        max_length: largest number of tokens of a target, with its `[SEP]`.
        beams: G of beam search; the number of samples of each source in sampling.
        num_return: number of targets to return for each source.
        length_penalty: the exponent alpha of the normalisation by length (`models.decoding.normalized_scores`).
        no_repeat_ngram: number of tokens that occur in this order at most once in a target; 0 for no such rule.
        sampled: whether tokens are drawn from their distribution.
        temperature: divisor of the logits in sampling.
        top_k: number of likeliest tokens that sampling chooses from; None for all.
        top_p: the likeliest tokens whose probabilities sum to this; None for all (Holtzman et al. 2020).
        seed: the random seed of sampling; None for another one in each call.
    """

    max_length: int
    beams: int
    num_return: int = 1
    length_penalty: float = 0.6
    no_repeat_ngram: int = 3
    sampled: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        rules = {
            "max_length": (self.max_length >= 1, "at least 1"),
            "beams": (self.beams >= 1, "at least 1"),
            "num_return": (
                1 <= self.num_return <= self.beams,
                f"from 1 to the {self.beams} {'samples' if self.sampled else '`beams`'}",
            ),
            "length_penalty": (self.length_penalty >= 0.0, "at least 0"),
            "no_repeat_ngram": (self.no_repeat_ngram >= 0, "at least 0 (0 for no rule)"),
            "temperature": (self.temperature > 0.0, "above 0"),
            "top_k": (self.top_k is None or self.top_k >= 1, "at least 1, or None"),
            "top_p": (self.top_p is None or 0.0 < self.top_p <= 1.0, "above 0 and at most 1, or None"),
            "seed": (self.seed is None or 0 <= self.seed < 2**31, "from 0 to 2147483647, or None"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ValueError(f"`{name}` must be {rule}. Received: {getattr(self, name)!r}")
