"""What all models share: the encoder's configuration, and how a model is made again from its own."""

from typing import Any

import keras

from bert_tf.configs import BertConfig
from bert_tf.layers.base import constructor_arguments


class BertModel(keras.Model):
    """A model on a `BertConfig`, which keeps each argument of its constructor in an attribute of the same name.

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.
    """

    def __init__(self, config: BertConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config if isinstance(config, BertConfig) else BertConfig.from_dict(config)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this model again."""
        return constructor_arguments(self) | {
            "config": self.config.to_dict(),
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }
