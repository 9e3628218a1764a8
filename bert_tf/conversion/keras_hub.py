"""KerasHub's presets and `BertBackbone` objects.

KerasHub's `BertBackbone` always computes the tanh approximation of GELU, and adds 1e-12 to variances. A model with
another activation or epsilon (most of Hugging Face have the exact GELU) becomes a `BertBackboneVariant`, a subclass
with the same outputs as the model here. Its presets can be loaded after a call of `register()`.
"""

import dataclasses
import functools
import os
import re
import tempfile
from typing import Any

from absl import logging

from bert_tf.configs import BertConfig
from bert_tf.conversion import folders
from bert_tf.conversion.heads import made_up_labels
from bert_tf.conversion.pretrained import Pretrained, assemble, disassemble
from bert_tf.conversion.report import ConversionReport
from bert_tf.layers.base import activation
from bert_tf.tasks.texts import Classification, MultiLabel
from bert_tf.tokenization.options import TokenizerOptions
from bert_tf.utils import files

CONFIG_FILE = "config.json"
_KAGGLE = "kaggle://"
_PRESET_NAME = re.compile(r"[a-z0-9]+(_[a-z0-9.]+)+")
_TASK_FILE = "task.json"
_CLASSIFIERS = ("BertTextClassifier", "BertClassifier")
"""The names of KerasHub's classifier on BERT, now and in earlier versions."""
_ACTIVATIONS = {
    "linear": Classification.kind,
    "softmax": Classification.kind,
    "sigmoid": MultiLabel.kind,
}
"""The last activation of a classifier, and the task that it means; the weights are those of the logits."""
_FIXED_ACTIVATION, _FIXED_EPSILON = "gelu_new", 1e-12


class KerasHubMissingError(ImportError, ValueError):
    """The error that KerasHub is not installed. It is also a ValueError, which commands report in one line."""


def _keras_hub() -> Any:
    try:
        import keras_hub
    except ImportError:
        raise KerasHubMissingError("KerasHub must be installed for its presets: pip install 'bert_tf[hub]'") from None
    return keras_hub


@functools.cache
def register() -> Any:
    """Make `BertBackboneVariant` known to Keras, so that `from_preset` finds it.

    Returns:
        The class: `keras_hub.models.BertBackbone` with the arguments `hidden_act` and `layer_norm_epsilon`.
    """
    import keras

    backbone: Any = _keras_hub().models.BertBackbone
    tokenizer: Any = _keras_hub().tokenizers.BertTokenizer

    @keras.saving.register_keras_serializable(package="bert_tf")
    class BertBackboneVariant(backbone):
        """A `BertBackbone` with another activation or epsilon than KerasHub's own."""

        def __init__(self, *args: Any, hidden_act: str, layer_norm_epsilon: float, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.hidden_act = hidden_act
            self.layer_norm_epsilon = layer_norm_epsilon
            self.embeddings_layer_norm.epsilon = layer_norm_epsilon
            # The backbone passes neither on to its layers, so they are changed in place. Tests compare the outputs.
            for layer in self.transformer_layers:
                layer.activation = activation(hidden_act)
                layer._feedforward_intermediate_dense.activation = layer.activation
                layer._self_attention_layer_norm.epsilon = layer_norm_epsilon
                layer._feedforward_layer_norm.epsilon = layer_norm_epsilon

        def get_config(self) -> dict[str, Any]:
            own = {"hidden_act": self.hidden_act, "layer_norm_epsilon": self.layer_norm_epsilon}
            return super().get_config() | own

    @keras.saving.register_keras_serializable(package="bert_tf")
    class BertTokenizerVariant(tokenizer):
        """KerasHub's tokenizer for the variant, since `from_preset` selects a tokenizer by its `backbone_cls`."""

        backbone_cls = BertBackboneVariant

    return BertBackboneVariant


def is_preset(path: str) -> bool:
    """Return whether `path` is a folder with a KerasHub preset of BERT, or the name of one of KerasHub's own.

    Raises:
        ValueError: `path` is a preset of another model.
    """
    if path.startswith(_KAGGLE):
        return True
    if folders.has(path, CONFIG_FILE):
        values = files.read_json(os.path.join(path, CONFIG_FILE))
        registered = values.get("registered_name") if isinstance(values, dict) else None
        if not isinstance(registered, str) or ">" not in registered:
            return False
        if registered not in ("keras_hub>BertBackbone", "keras_nlp>BertBackbone", "bert_tf>BertBackboneVariant"):
            raise ValueError(
                f"`path`: a KerasHub preset must be one of BertBackbone. Received: {path!r}, of {registered!r}"
            )
        return True
    if not _PRESET_NAME.fullmatch(path) or files.exists(path):
        return False
    try:
        keras_hub = _keras_hub()
    except KerasHubMissingError:
        return False
    return path in keras_hub.models.BertBackbone.presets


def read(preset: str) -> Pretrained:
    """Read the configuration, weights and vocabulary of a preset.

    Args:
        preset: a folder (local or `gs://`), the name of one of KerasHub's own presets, or a `kaggle://` handle.

    Raises:
        FileNotFoundError: the preset cannot be fetched.
        ValueError: the preset cannot be read.
        KerasHubMissingError: KerasHub is not installed.
    """
    keras_hub = _keras_hub()
    register()
    if preset.startswith(_KAGGLE) or not folders.has(preset, CONFIG_FILE):
        try:
            return _read_with(keras_hub, preset, preset)
        # kagglehub and its HTTP library have their own exceptions for a missing network, licence or disk space.
        except Exception as error:
            raise FileNotFoundError(
                f"KerasHub cannot fetch this preset ({' '.join(str(error).split())[:300]}). Download it elsewhere, and "
                f"give the folder with its config.json and model.weights.h5. Received: {preset!r}"
            ) from None
    with folders.local_copy(preset) as local:
        _check_sizes(local, preset)
        try:
            return _read_with(keras_hub, local, preset)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{preset}: the preset cannot be read ({error})") from None


def _check_sizes(folder: str, source: str) -> None:
    """Raise a ValueError if a preset's configuration needs more weights than its files can hold.

    KerasHub makes the model before it reads the weights, whatever its size. A weight takes at least one byte.
    """
    values = files.read_json(os.path.join(folder, CONFIG_FILE)).get("config", {})
    names = ("vocabulary_size", "hidden_dim", "num_layers", "intermediate_dim", "max_sequence_length")
    if not all(isinstance(values.get(name), int) for name in names):
        return  # KerasHub names what is missing
    vocabulary, hidden, layers, intermediate, positions = (values[name] for name in names)
    needed = (vocabulary + positions) * hidden + layers * hidden * (4 * hidden + 2 * intermediate)
    held = sum(files.size(os.path.join(folder, name)) for name in files.names_in_folder(folder) if name.endswith(".h5"))
    if needed > held:
        raise ValueError(
            f"{source}: the configuration needs {needed} weights. Received: files of weights of {held} bytes"
        )


def _read_with(keras_hub: Any, preset: str, source: str) -> Pretrained:
    classifier = _classifier(keras_hub, preset, source)
    if classifier is not None:
        pretrained = _read_classifier(classifier, source)
    else:
        pretrained = read_backbone(keras_hub.models.BertBackbone.from_preset(preset, dtype="float32"), source)
    if os.path.isdir(preset) and not os.path.exists(os.path.join(preset, "tokenizer.json")):
        return pretrained
    tokenizer = keras_hub.tokenizers.BertTokenizer.from_preset(preset)
    pretrained.tokens = tuple(tokenizer.get_vocabulary())
    pretrained.do_lower_case = bool(tokenizer.lowercase)
    # KerasHub's own uncased presets keep accents, which the vocabularies and weights that they convert never saw.
    strips = True if tokenizer.strip_accents and not tokenizer.lowercase else None
    pretrained.tokenizer_options = TokenizerOptions(strips, bool(tokenizer.split_on_cjk))
    return pretrained


def _classifier(keras_hub: Any, preset: str, source: str) -> Any:
    """Return the classifier that a preset holds beside its backbone; None, and a warning, for any other head."""
    file = os.path.join(preset, _TASK_FILE)
    if not os.path.exists(file):
        return None
    kind = files.read_json(file)
    name = str(kind.get("registered_name", "")).rpartition(">")[2] if isinstance(kind, dict) else ""
    if name in _CLASSIFIERS:
        try:
            classifier = keras_hub.models.BertTextClassifier.from_preset(preset, dtype="float32")
        except ValueError as error:
            name += f" ({error})"
        else:
            activation = getattr(classifier.activation, "__name__", "linear")
            if classifier.num_classes > 1 and activation in _ACTIVATIONS:
                return classifier
            name += f" ({classifier.num_classes} outputs, {activation})"
    logging.warning("%s: the head of a %s has no counterpart here. The encoder is read without it", source, name)
    return None


def _read_classifier(classifier: Any, source: str) -> Pretrained:
    pretrained = read_backbone(classifier.backbone, source, classifier.output_dense)
    task = _ACTIVATIONS[getattr(classifier.activation, "__name__", "linear")]
    return dataclasses.replace(pretrained, task=task, labels=made_up_labels(classifier.num_classes))


def read_backbone(backbone: Any, source: str | None = None, logits: Any = None) -> Pretrained:
    """Read the configuration and weights of a `keras_hub.models.BertBackbone`, which has no vocabulary.

    Args:
        backbone: the object.
        source: its name for messages; None for the name of the object.
        logits: the last dense layer of a classifier on the backbone; None for the backbone alone.

    Raises:
        ValueError: `backbone` is something else.
    """
    kind = f"{type(backbone).__module__}.{type(backbone).__name__}"
    bases = {base.__name__ for base in type(backbone).__mro__ if base.__module__.startswith("keras_hub.")}
    if "BertBackbone" not in bases:
        raise ValueError(f"`path` must be a path, a name or a keras_hub BertBackbone. Received: a {kind}")
    config = BertConfig(
        vocab_size=backbone.vocabulary_size,
        hidden_size=backbone.hidden_dim,
        num_layers=backbone.num_layers,
        num_heads=backbone.num_heads,
        intermediate_size=backbone.intermediate_dim,
        hidden_act=getattr(backbone, "hidden_act", _FIXED_ACTIVATION),
        dropout_rate=backbone.dropout,
        attention_dropout_rate=backbone.dropout,
        max_position_embeddings=backbone.max_sequence_length,
        type_vocab_size=backbone.num_segments,
        layer_norm_epsilon=getattr(backbone, "layer_norm_epsilon", _FIXED_EPSILON),
    )
    report = ConversionReport(source or backbone.name)
    tensors = {variable.path: (variable.path, variable.numpy()) for variable in backbone.weights}
    tensors = {name: found for name, found in tensors.items() if "seed_generator" not in name}
    if logits is not None:
        tensors |= {f"logits/{variable.name}": (variable.path, variable.numpy()) for variable in logits.weights}
    heads = () if logits is None else Classification.heads[-1:]
    weights = assemble("keras_hub", config, heads, tensors=tensors, report=report)
    return Pretrained(config=config, weights=weights, report=report, task="encoder")


def to_backbone(pretrained: Pretrained, dtype: str = "float32") -> Any:
    """Return a `keras_hub.models.BertBackbone`, or its variant (see above), with the weights but without the heads.

    KerasHub has a single dropout rate, which becomes that of the activations.

    Args:
        pretrained: the result of `read_pretrained` or `Pretrained.of_model(model)`.
        dtype: Keras dtype policy.

    Raises:
        KerasHubMissingError: KerasHub is not installed.
        ValueError: the pooler is missing.
    """
    config = pretrained.config
    arguments: dict[str, Any] = {
        "vocabulary_size": config.vocab_size,
        "num_layers": config.num_layers,
        "num_heads": config.num_heads,
        "hidden_dim": config.hidden_size,
        "intermediate_dim": config.intermediate_size,
        "dropout": config.dropout_rate,
        "max_sequence_length": config.max_position_embeddings,
        "num_segments": config.type_vocab_size,
        "dtype": dtype,
    }
    if (config.hidden_act, config.layer_norm_epsilon) == (_FIXED_ACTIVATION, _FIXED_EPSILON):
        backbone = _keras_hub().models.BertBackbone(**arguments)
    else:
        backbone = register()(hidden_act=config.hidden_act, layer_norm_epsilon=config.layer_norm_epsilon, **arguments)
    tensors = disassemble("keras_hub", pretrained)
    for variable in backbone.weights:
        if "seed_generator" in variable.path:
            continue
        if variable.path not in tensors:
            raise ValueError(
                f"{pretrained.source} must hold every weight of a KerasHub backbone. Missing: {variable.path}"
            )
        variable.assign(tensors[variable.path].reshape(variable.shape))
    return backbone


def write(pretrained: Pretrained, output_dir: str) -> None:
    """Write a preset: the backbone, and the tokenizer if there is a vocabulary.

    Args:
        pretrained: the model to write; its heads are left out.
        output_dir: a new or an empty folder; appears whole or not at all.

    Raises:
        KerasHubMissingError: KerasHub is not installed.
        ValueError: the pooler is missing, or the format has no such tokenizer.
        OSError: the folder cannot be written.
    """
    tokenizer = pretrained.tokenizer() if pretrained.tokens is not None else None
    options = pretrained.tokenizer_options
    if options.added_tokens or (pretrained.do_lower_case and options.strip_accents is False):
        raise ValueError(
            "a KerasHub preset must have no added tokens, and uncased text without accents. Received: a tokenizer with "
            f"{options}"
        )
    backbone = to_backbone(pretrained)
    for name in [name for name in pretrained.report.loaded if not name.startswith("encoder/")]:
        for tensor in pretrained.report.loaded.pop(name):
            pretrained.report.ignored[tensor] = "KerasHub's backbone has no heads"
    with folders.folder_written_whole(output_dir) as folder, tempfile.TemporaryDirectory() as local:
        backbone.save_to_preset(local)
        if tokenizer is not None:
            theirs = _keras_hub().tokenizers.BertTokenizer(
                vocabulary=list(tokenizer.tokens),
                lowercase=pretrained.do_lower_case,
                # As in BERT's own tokenizer; off by default in KerasHub's.
                strip_accents=pretrained.do_lower_case or bool(options.strip_accents),
                split_on_cjk=options.tokenize_chinese_chars,
            )
            theirs.save_to_preset(local)
        files.copy_folder(local, folder)
