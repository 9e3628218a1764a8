"""The options of generation, and what is found."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from bert_tf.configs.decoding import DecodingOptions
from bert_tf.configs.tasks import Seq2SeqConfig
from bert_tf.runs.descriptions import ModelDescription

_BEAMS = 4
_SAMPLING = ("temperature", "top_k", "top_p", "seed")


class Hypothesis(NamedTuple):
    """A target that the model generated.

    Attributes:
        tokens: the ids, with `[SEP]` if the target ended within `max_length`.
        log_probability: the sum of the logarithms of the tokens' probabilities, as the model gives them.
        score: the log-probability normalised by length, by which beams are ranked.
    """

    tokens: tuple[int, ...]
    log_probability: float
    score: float


def decoding_options(description: ModelDescription, given: Mapping[str, Any]) -> DecodingOptions:
    """Return the options of generation by a model.

    Args:
        description: the description of the model.
        given: the options of `Predictor.generate`, of which None and what is left out stand for its defaults.

    Raises:
        ValueError: an option is out of range.
    """
    values = {name: value for name, value in given.items() if value is not None}
    config = description.task_config
    assert isinstance(config, Seq2SeqConfig)
    sampled = any(name in values for name in _SAMPLING)
    if sampled and values.pop("beams", 1) != 1:
        raise ValueError(f"`beams` must be left out for sampling (`num_return` samples). Received: {given['beams']}")
    defaults: dict[str, Any] = {
        "max_length": config.max_target_length,
        "beams": values.get("num_return", 1) if sampled else _BEAMS,
        "sampled": sampled,
    }
    return DecodingOptions(**(defaults | values))


def check_room(description: ModelDescription, options: DecodingOptions) -> None:
    """Check that the model has positions for the sources and for targets of `max_length`.

    Raises:
        ValueError: there are too few.
    """
    config, positions = description.task_config, description.model.max_position_embeddings
    assert isinstance(config, Seq2SeqConfig)
    room = positions - config.max_source_length
    if options.max_length > room:
        raise ValueError(
            f"`max_length` must be at most {room}, the model's {positions} positions without "
            f"{config.max_source_length} of the source. Received: {options.max_length}"
        )
