"""The configuration files of published models: `bert_config.json` and Hugging Face's `config.json`."""

from collections.abc import Mapping
from typing import Any

from bert_tf.configs.model import BertConfig
from bert_tf.utils import files

# Our names of fields, and the names that google-research/bert and Hugging Face share.
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

# Their names of activations, and ours. Hugging Face's `gelu_new`, `gelu_fast` and `gelu_pytorch_tanh` are equal.
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_new",
    "gelu_fast": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "relu": "relu",
}

# Settings that would change the outputs, and the values that they have in BERT.
_ONLY: dict[str, tuple[Any, ...]] = {
    "model_type": ("bert",),
    "position_embedding_type": ("absolute", None),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
    "pruned_heads": ({}, None),
    "quantization_config": (None,),
    "tie_word_embeddings": (True, None),
}

# Settings that change no output: how the file was made, how a framework calls the model, how texts are generated, ids
# that the tokenizer has, and settings of the head, which are read with the head.
_HARMLESS = """
_name_or_path architectures name language transformers_version torch_dtype dtype use_bfloat16 torchscript xla_device
attn_implementation _attn_implementation _attn_implementation_autoset gradient_checkpointing chunk_size_feed_forward
output_attentions output_hidden_states output_past output_scores return_dict return_dict_in_generate use_cache
tf_legacy_loss backward_compatible tokenizer_class pad_token_id bos_token_id eos_token_id sep_token_id
cls_token_id mask_token_id unk_token_id decoder_start_token_id
problem_type finetuning_task task_specific_params num_labels id2label label2id classifier_dropout
summary_type summary_use_proj summary_activation summary_last_dropout summary_first_dropout
directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type
max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p
typical_p repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size num_return_sequences
sentence_transformers sbert_ce_default_activation_function
"""


def read_config_file(path: str) -> BertConfig:
    """Read the configuration in a `bert_config.json` (google-research/bert) or `config.json` (Hugging Face).

    Args:
        path: the file, local or remote.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file describes another model than BERT, or has a setting that this BERT lacks. The message names
                file and setting.
    """
    return read_config(files.read_json(path), path)


def read_config(values: Any, source: str) -> BertConfig:
    """Make the configuration of a published BERT from the content of its file.

    `gelu` is the exact function (by the error function), as in Hugging Face and in the checkpoints of 2018. Google's
    code since 2019-02 computes the tanh approximation under this name (whole-word masking, the 24 small models); for
    those checkpoints, change `hidden_act` to `gelu_new`.

    Args:
        values: the JSON value of `bert_config.json` or `config.json`.
        source: the name of the file, for messages.

    Raises:
        ValueError: a size is missing, a value is out of range, a setting that may matter is unknown, or the model is
            another one than BERT.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{source} must hold a JSON object. Received: a {type(values).__name__}")
    for name, allowed in _ONLY.items():
        if name in values and values[name] not in allowed:
            raise ValueError(f"{source}: `{name}` must be {allowed[0]!r} for BERT. Received: {values[name]!r}")
    known = {*_NAMES.values(), *_ONLY, *_HARMLESS.split(), "hidden_act", "layer_norm_eps", "embedding_size"}
    # An unknown setting that is off (null, false, empty) changes nothing.
    unknown = sorted(name for name, value in values.items() if name not in known and value)
    if unknown:
        raise ValueError(f"{source}: `{unknown[0]}` is not a known setting of BERT. Received: {values[unknown[0]]!r}")
    missing = [_NAMES[name] for name in _SIZES if _NAMES[name] not in values]
    if missing:
        raise ValueError(f"{source} must have `{missing[0]}`. Received: {sorted(values)}")
    activation = values.get("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
        raise ValueError(f"{source}: `hidden_act` must be one of {', '.join(_ACTIVATIONS)}. Received: {activation!r}")
    found = {ours: values[theirs] for ours, theirs in _NAMES.items() if theirs in values}
    if "layer_norm_eps" in values:  # google-research/bert always has 1e-12, our default
        found["layer_norm_epsilon"] = values["layer_norm_eps"]
    embedding_size = values.get("embedding_size")
    if embedding_size not in (None, found["hidden_size"]):
        found["embedding_size"] = embedding_size
    try:
        return BertConfig.from_dict(found | {"hidden_act": _ACTIVATIONS[activation]})
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def google_values(config: BertConfig) -> dict[str, Any]:
    """Return the content of `bert_config.json`.

    Raises:
        ValueError: google-research/bert cannot express this model.
    """
    if config.layer_norm_epsilon != BertConfig().layer_norm_epsilon:
        raise ValueError(
            "`layer_norm_epsilon` must be 1e-12 for a checkpoint in Google's form, whose configuration cannot express "
            f"another. Received: {config.layer_norm_epsilon}"
        )
    return {theirs: getattr(config, ours) for ours, theirs in _NAMES.items()} | {"hidden_act": config.hidden_act}


def hugging_face_values(config: BertConfig) -> dict[str, Any]:
    """Return the part of Hugging Face's `config.json` that describes the encoder."""
    return {theirs: getattr(config, ours) for ours, theirs in _NAMES.items()} | {
        "model_type": "bert",
        "hidden_act": config.hidden_act,
        "layer_norm_eps": config.layer_norm_epsilon,
        "position_embedding_type": "absolute",
        "dtype": "float32",
    }
