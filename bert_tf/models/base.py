"""The base class of all models.

Shapes: B batch, L length, D hidden.
"""

from typing import Any

import keras

from bert_tf.configs import BertConfig
from bert_tf.features import Batch, Tensor
from bert_tf.layers.base import constructor_arguments, seed_part
from bert_tf.layers.heads import ClassificationHead


class BertModel(keras.Model):
    """A model on a `BertConfig`, which keeps each argument of its constructor in an attribute of the same name.

    A model with a head makes its `encoder` and its head in the constructor, and defines `outputs_of`.

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.
    """

    encoder: keras.Model

    def __init__(self, config: BertConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config if isinstance(config, BertConfig) else BertConfig.from_dict(config)

    def make_head(self, name: str, num_classes: int, dropout_rate: float = 0.0) -> ClassificationHead:
        """Return a dense layer on vectors of `hidden_size` with its weights; its output is float32 [..., num_classes].

        Args:
            name: name of the layer, which is the first part of its weights' names.
            num_classes: size of the output's last axis.
            dropout_rate: dropout before the dense layer.
        """
        size, stddev = self.config.hidden_size, self.config.initializer_range
        head = ClassificationHead(
            num_classes,
            size,
            dropout_rate=dropout_rate,
            initializer_range=stddev,
            dtype=self.dtype_policy,
            name=name,
        )
        head.build((None, size))
        return head

    def head_seed(self, seed: Tensor | None) -> Tensor | None:
        """Return the head's part of the seed: the encoder takes the parts 0 to `num_layers`, the head the next."""
        return seed_part(seed, self.config.num_layers + 1)

    def build(self, input_shape: Any = None) -> None:
        """Mark the model as built: its weights depend on the configuration alone, and exist already."""
        self.built = True

    def call(self, inputs: Batch, training: bool = False, seed: Tensor | None = None) -> Any:
        """Encode the inputs and return the outputs of the head, which the model's `outputs_of` describes.

        Args:
            inputs: the encoder's inputs, and those that the head reads.
            training: whether dropout is applied.
            seed: integer scalar from which all dropout masks are made; with None, each layer counts its own calls.
        """
        return self.outputs_of(self.encoder(inputs, training=training, seed=seed), inputs, training, seed)

    def outputs_of(self, encoded: Batch, inputs: Batch, training: bool = False, seed: Tensor | None = None) -> Any:
        """Return the head's outputs.

        Args:
            encoded: the encoder's outputs, `sequence_output` [B, L, D] and `pooled_output` [B, D].
            inputs: as for `call`, like the other arguments.
            training: whether dropout is applied.
            seed: integer scalar from which all dropout masks are made.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `outputs_of`.")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this model again."""
        return constructor_arguments(self) | {
            "config": self.config.to_dict(),
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }
