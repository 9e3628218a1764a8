"""Configurations: frozen dataclasses that are read strictly and changed by name.

A configuration holds plain values only. Its dictionary form (`to_dict`) is the content of the `config.json` of a run.
`from_dict` refuses unknown keys and values of another type, so that a misspelt field stops a run in its first second.
"""

from bert_tf.configs.base import Config, ConfigError
from bert_tf.configs.experiments import FinetuningConfig, MaskingConfig, MixtureConfig, PretrainingConfig
from bert_tf.configs.model import PUBLISHED_SIZES, BertConfig
from bert_tf.configs.privacy import PrivacyConfig
from bert_tf.configs.tasks import ClassificationConfig
from bert_tf.configs.training import OptimizerConfig, PhaseConfig, TrainConfig

__all__ = [
    "PUBLISHED_SIZES",
    "BertConfig",
    "ClassificationConfig",
    "Config",
    "ConfigError",
    "FinetuningConfig",
    "MaskingConfig",
    "MixtureConfig",
    "OptimizerConfig",
    "PhaseConfig",
    "PretrainingConfig",
    "PrivacyConfig",
    "TrainConfig",
]
