"""`bert_config.json` and Hugging Face's `config.json`: the same sizes under two sets of names."""

from collections.abc import Mapping
from typing import Any

from bert_tf.configs import BertConfig

# Ours -> the name that google-research/bert and Hugging Face share.
_NAMES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "dropout_rate": "hidden_dropout_prob",
    "attention_dropout_rate": "attention_probs_dropout_prob",
    "max_position_embeddings": "max_position_embeddings",
    "type_vocab_size": "type_vocab_size",
    "initializer_range": "initializer_range",
}
_SIZES = ("vocab_size", "hidden_size", "num_layers", "num_heads", "intermediate_size")

# Their activations -> ours. Hugging Face's `gelu_new`, `gelu_fast` and `gelu_pytorch_tanh` are the same function.
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_new",
    "gelu_fast": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "relu": "relu",
}

# What would change the model's outputs, and the values that mean BERT. Any other key changes nothing here.
_ONLY: dict[str, tuple[Any, ...]] = {
    "model_type": ("bert",),
    "position_embedding_type": ("absolute", None),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
    "pruned_heads": ({}, None),
    "quantization_config": (None,),
}


def read_config(values: Any, source: str) -> BertConfig:
    """The configuration of a published BERT.

    `gelu` is the exact function, by the error function, as in Hugging Face and in the checkpoints of 2018. Google's
    code computes its tanh approximation under this name since 2019-02 (whole-word masking, the 24 small models): for
    those, change `hidden_act` to `gelu_new`.

    Args:
        values: the JSON value of `bert_config.json` or `config.json`.
        source: the file, for the message.

    Raises:
        ValueError: a size is missing, a value is out of range, or it is no BERT.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{source} must hold a JSON object. Received: a {type(values).__name__}")
    for name, allowed in _ONLY.items():
        if name in values and values[name] not in allowed:
            raise ValueError(f"{source}: `{name}` must be {allowed[0]!r} for BERT. Received: {values[name]!r}")
    missing = [_NAMES[name] for name in _SIZES if _NAMES[name] not in values]
    if missing:
        raise ValueError(f"{source} must have `{missing[0]}`. Received: {sorted(values)}")
    activation = values.get("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
        raise ValueError(f"{source}: `hidden_act` must be one of {', '.join(_ACTIVATIONS)}. Received: {activation!r}")
    found = {ours: values[theirs] for ours, theirs in _NAMES.items() if theirs in values}
    if "layer_norm_eps" in values:  # google-research/bert has 1e-12 everywhere, which is our default
        found["layer_norm_epsilon"] = values["layer_norm_eps"]
    embedding_size = values.get("embedding_size")
    if embedding_size not in (None, found["hidden_size"]):
        found["embedding_size"] = embedding_size
    try:
        return BertConfig.from_dict(found | {"hidden_act": _ACTIVATIONS[activation]})
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def google_values(config: BertConfig) -> dict[str, Any]:
    """What stands in `bert_config.json`.

    Raises:
        ValueError: google-research/bert has no such model.
    """
    if config.layer_norm_epsilon != BertConfig().layer_norm_epsilon:
        raise ValueError(
            "`layer_norm_epsilon` must be 1e-12 for a checkpoint in Google's form: its configuration has no place for "
            f"another. Received: {config.layer_norm_epsilon}"
        )
    return {theirs: getattr(config, ours) for ours, theirs in _NAMES.items()} | {"hidden_act": config.hidden_act}


def hugging_face_values(config: BertConfig) -> dict[str, Any]:
    """What stands in Hugging Face's `config.json` about the encoder."""
    return {theirs: getattr(config, ours) for ours, theirs in _NAMES.items()} | {
        "model_type": "bert",
        "hidden_act": config.hidden_act,
        "layer_norm_eps": config.layer_norm_epsilon,
        "position_embedding_type": "absolute",
        "dtype": "float32",
    }
