"""The signatures of encoders: a vector for each text.

Axes: B texts, L length, D hidden.
"""

from typing import Any

import tensorflow as tf

from bert_tf.models.pooling import text_vectors
from bert_tf.runs.descriptions import ModelDescription
from bert_tf.serving.signatures.base import Signatures
from bert_tf.serving.static_shapes import Tensors


class EncoderSignatures(Signatures):
    """`embedding` float32 [B, D], as `Predictor.embed` gives it; of `token_ids` also what the encoder gives.

    That is `sequence_output` float32 [B, L, D] and, where there is a pooler, `pooled_output` float32 [B, D].
    """

    def __init__(self, model: Any, description: ModelDescription, *args: Any) -> None:
        super().__init__(model, description, *args)
        self.pooling, self.normalize = description.embedding.pooling, description.embedding.normalize
        self.has_pooler = description.has_pooler
        self.encoder = self.forward

    def from_texts(self, text: tf.Tensor) -> Tensors:
        """The class's outputs of `serving_default`."""
        return self.embedding(text)

    def from_ids(self, inputs: Tensors) -> Tensors:
        """The class's outputs of `token_ids`."""
        return self.encoded(inputs)

    def embedding(self, text: tf.Tensor) -> Tensors:
        """The vectors of texts alone."""
        return {"embedding": self.encoded(self.rows(self.graph_tokenizer.tokenize(text)))["embedding"]}

    def encoded(self, inputs: Tensors) -> Tensors:
        """What the encoder gives for rows, and their vectors."""
        encoded = {name: tf.cast(tensor, tf.float32) for name, tensor in self.encoder(inputs).items()}
        outputs = encoded | {"embedding": text_vectors(encoded, inputs, self.pooling, normalize=self.normalize)}
        if not self.has_pooler:
            del outputs["pooled_output"]
        return outputs
