"""The signatures of encoders: a vector for each text.

Axes: B texts, L length, D hidden.
"""

from typing import Any, ClassVar

import tensorflow as tf
from keras import ops

from bert_tf.models.pooling import text_vectors
from bert_tf.runs.descriptions import ModelDescription
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.signatures.base import Signatures
from bert_tf.serving.static_shapes import Tensors
from bert_tf.tasks.model_kinds import Encoder, ModelKind
from bert_tf.tokenization.wordpiece import WordPieceTokenizer


class EncoderSignatures(Signatures):
    """The signatures of an encoder. The output is `embedding`, float32 [B, D], as `Predictor.embed` returns it.

    `token_ids` also returns `sequence_output` float32 [B, L, D] and, from a model with a pooler, `pooled_output`
    float32 [B, D].
    """

    model_kind: ClassVar[type[ModelKind]] = Encoder

    def __init__(
        self, model: Any, description: ModelDescription, tokenizer: WordPieceTokenizer, *, options: ExportOptions
    ) -> None:
        super().__init__(model, description, tokenizer, options=options)
        self.pooling, self.normalize = description.embedding.pooling, description.embedding.normalize
        self.has_pooler = description.has_pooler
        self.encoder = self.forward

    def from_texts(self, text: tf.Tensor) -> Tensors:
        """Return the class's outputs of `serving_default`."""
        return self.embedding(text)

    def from_ids(self, inputs: Tensors) -> Tensors:
        """Return the class's outputs of `token_ids`."""
        return self.encoded(inputs)

    def embedding(self, text: tf.Tensor) -> Tensors:
        """Return only the vectors of texts."""
        return {"embedding": self.encoded(self.rows(self.graph_tokenizer.tokenize(text)))["embedding"]}

    def encoded(self, inputs: Tensors) -> Tensors:
        """Return the outputs of the encoder for rows, and the vectors of the rows."""
        encoded = {name: tf.cast(tensor, tf.float32) for name, tensor in self.encoder(inputs).items()}
        vectors = text_vectors(encoded, inputs, self.pooling, normalize=self.normalize, numpy=ops)
        outputs = encoded | {"embedding": vectors}
        if not self.has_pooler:
            del outputs["pooled_output"]
        return outputs
