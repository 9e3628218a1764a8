"""What all models share: the encoder's configuration, and how a model is made again from its own."""

from typing import Any

import keras

from bert_tf.configs import BertConfig
from bert_tf.layers.base import constructor_arguments
from bert_tf.layers.heads import ClassificationHead


class BertModel(keras.Model):
    """A model on a `BertConfig`, which keeps each argument of its constructor in an attribute of the same name.

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.
    """

    def __init__(self, config: BertConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config if isinstance(config, BertConfig) else BertConfig.from_dict(config)

    def make_head(self, name: str, num_classes: int, dropout_rate: float = 0.0) -> ClassificationHead:
        """A dense layer on vectors of `hidden_size`, its weights made; `call` gives float32 [..., num_classes].

        Args:
            name: of the layer, first part of its weights' names.
            num_classes: size of the output's last axis.
            dropout_rate: before the dense layer.
        """
        size, stddev = self.config.hidden_size, self.config.initializer_range
        head = ClassificationHead(num_classes, size, dropout_rate, stddev, dtype=self.dtype_policy, name=name)
        head.build((None, size))
        return head

    def build(self, input_shape: Any = None) -> None:
        """Nothing is left to make: weights depend on the configuration alone, and are made with the model."""
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this model again."""
        return constructor_arguments(self) | {
            "config": self.config.to_dict(),
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }
