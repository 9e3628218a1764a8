"""The flags of generation, which `generate` and `export-saved-model` share."""

from absl import flags


def define_generation_flags() -> None:
    """Define the options of generation that an export may fix, but for `--top_k`."""
    flags.DEFINE_integer("max_length", None, "The largest number of tokens of a text; by default that of training.")
    flags.DEFINE_integer("beams", None, "The number of hypotheses of beam search; 4 by default.")
    flags.DEFINE_float("length_penalty", None, "The exponent of the normalisation of scores by length; 0.6 by default.")
    flags.DEFINE_integer(
        "no_repeat_ngram", None, "n-grams of so many tokens occur once at most; 3 by default, 0: no rule."
    )
    flags.DEFINE_float("temperature", None, "Draw texts, with logits divided by this number.")
    flags.DEFINE_float("top_p", None, "Draw texts from the likeliest tokens whose probabilities sum to this.")
    flags.DEFINE_integer("num_return", None, "The number of texts for each source; 1 by default.")
