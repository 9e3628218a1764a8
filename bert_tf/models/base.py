"""The base class of all models.

Shapes: B batch, L length, D hidden.
"""

from collections.abc import Mapping
from typing import Any, Self

import keras
from absl import logging
from keras import ops

from bert_tf.configs import BertConfig
from bert_tf.features import ID_NAMES, Batch, Tensor
from bert_tf.layers.base import constructor_arguments, seed_part
from bert_tf.layers.fused_attention import check_no_order, has_kernel
from bert_tf.layers.heads import ClassificationHead, MaskedLMHead
from bert_tf.layers.random_bits import row_seeds
from bert_tf.models.inputs import model_inputs
from bert_tf.models.text_model import TextModel


class BertModel(TextModel):
    """A model on a `BertConfig`, which keeps each argument of its constructor in an attribute of the same name.

    A model with a head makes its `encoder` and its head in the constructor, and defines `outputs_of`.

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.

    Attributes:
        member_prefix: what the paths of the model's own weights begin with, if it is a member of a `BertMultiTask`.
    """

    encoder: keras.Model
    member_prefix: str = ""
    required_inputs: tuple[str, ...] = ("input_ids",)

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

    def make_masked_lm_head(self) -> MaskedLMHead:
        """Return a masked-LM head for this configuration, named `masked_lm` and without weights yet."""
        c = self.config
        return MaskedLMHead(
            vocab_size=c.vocab_size,
            hidden_size=c.hidden_size,
            hidden_act=c.hidden_act,
            layer_norm_epsilon=c.layer_norm_epsilon,
            initializer_range=c.initializer_range,
            embedding_size=c.embedding_size,
            dtype=self.dtype_policy,
            name="masked_lm",
        )

    @staticmethod
    def seeds_of_rows(seed: Tensor | None, inputs: Batch) -> Tensor | None:
        """Return one seed for each row of the inputs, uint32 [B], from a scalar or from such seeds; None stays None."""
        return None if seed is None else row_seeds(seed, ops.shape(inputs["input_ids"])[0])

    def head_seed(self, seed: Tensor | None) -> Tensor | None:
        """Return the head's part of the seeds: the encoder takes the parts 0 to `num_layers`, the head the next."""
        return seed_part(seed, self.config.num_layers + 1)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Apply the model to inputs under any name and in any form that `models.inputs.model_inputs` takes.

        Raises:
            ValueError: the inputs are wrong, or have an `order`, which fused attention does not know.
        """
        batch = model_inputs(inputs, self.required_inputs)
        if self.config.attention == "fused":
            check_no_order(batch)
        return super().__call__(batch, *args, **kwargs)

    def build(self, input_shape: Any = None) -> None:
        """Mark the model as built: its weights depend on the configuration alone, and exist already."""
        self.built = True

    def call(self, inputs: Batch, training: bool = False, seed: Tensor | None = None) -> Any:
        """Encode the inputs and return the outputs of the head, which the model's `outputs_of` describes.

        Args:
            inputs: the encoder's inputs, and those that the head reads.
            training: whether dropout is applied.
            seed: integer scalar from which all dropout masks are made, or one for each row, integers [B] (see
                `layers.random_bits.row_seeds`); with None, each layer counts its own calls.
        """
        seed = self.seeds_of_rows(seed, inputs)
        return self.outputs_of(self.encoder(inputs, training=training, seed=seed), inputs, training, seed)

    def outputs_of(self, encoded: Batch, inputs: Batch, training: bool = False, seed: Tensor | None = None) -> Any:
        """Return the head's outputs.

        Args:
            encoded: the encoder's outputs, `sequence_output` [B, L, D] and `pooled_output` [B, D].
            inputs: as for `call`, like the other arguments.
            training: whether dropout is applied.
            seed: integers [B], from which the rows' dropout masks are made; or None.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `outputs_of`.")

    def export(self, filepath: str, *args: Any, input_signature: Any = None, **kwargs: Any) -> None:
        """Export the model's forward pass, as `keras.Model.export` does, for any batch size and length.

        `bert_tf.serving.export` writes what a server wants: the tokenizer inside, and texts in and answers out.

        Args:
            filepath: folder of the export.
            *args: as for `keras.Model.export`.
            input_signature: as for `keras.Model.export`; by default `input_ids`, `input_mask`, `segment_ids` and the
                inputs that the head needs, all int32 [B, L].
            **kwargs: as for `keras.Model.export`.
        """
        if input_signature is None:
            input_signature = [
                {
                    name: keras.InputSpec(shape=shape, dtype=self.input_dtype, name=name)
                    for name, shape in self.input_shapes().items()
                }
            ]
        super().export(filepath, *args, input_signature=input_signature, **kwargs)

    @property
    def input_dtype(self) -> str:
        """The dtype of the inputs: token ids, masks and segments are integers."""
        return "int32"

    def input_shapes(self) -> dict[str, tuple[None, None]]:
        """Return the shapes of the inputs with which Keras and its converters trace the model."""
        return dict.fromkeys((*ID_NAMES, *self.required_inputs), (None, None))

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Self:
        """Make the model whose `get_config` returned `config`, with plain attention where fused has no kernel."""
        encoder = executable(config["config"])
        return super().from_config({**config, "config": encoder}, custom_objects=custom_objects)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this model again, and the configuration of its preprocessor."""
        return (
            super().get_config()
            | constructor_arguments(self)
            | {
                "config": self.config.to_dict(),
                "name": self.name,
                "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            }
        )


def executable(encoder: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the dictionary of a saved `BertConfig`, with plain attention where fused has no kernel."""
    if encoder.get("attention", "plain") == "plain" or has_kernel():
        return encoder
    logging.info("The model was saved with fused attention, and is made with plain attention.")
    return {**encoder, "attention": "plain"}
