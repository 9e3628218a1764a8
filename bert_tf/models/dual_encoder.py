"""BERT for retrieval: one vector for each text, close to those of the texts that answer it.

Shapes: B batch, L length, D hidden, T texts in a row.
"""

from typing import Any

import keras
from keras import ops

from bert_tf.configs import BertConfig
from bert_tf.features import Batch, Tensor
from bert_tf.models.base import BertModel
from bert_tf.models.pooling import POOLINGS, check_pooling, text_vectors
from bert_tf.models.shared_encoder import make_encoder


@keras.saving.register_keras_serializable(package="bert_tf")
class BertDualEncoder(BertModel):
    """An encoder of queries and passages (Reimers and Gurevych 2019, "Sentence-BERT", section 3).

    The texts to be compared follow each other in one row, and none attends to another. The only weights are the
    encoder's; the pooler is not used.

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.
        texts_per_row: T.
        pooling: `mean` for the mean of a text's vectors, `cls` for the vector of its `[CLS]`.
        normalize: whether vectors are scaled to length 1.

    >>> config = BertConfig(vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16)
    >>> mask = keras.ops.array([[1, 1, 2, 2, 2, 0]])
    >>> BertDualEncoder(config)({"input_ids": keras.ops.ones((1, 6), "int32"), "input_mask": mask}).shape
    TensorShape([1, 2, 8])
    """

    def __init__(
        self,
        config: BertConfig | dict[str, Any],
        texts_per_row: int = 2,
        *,
        pooling: str = "mean",
        normalize: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(config, **kwargs)
        check_pooling(pooling, POOLINGS)
        if texts_per_row < 1:
            raise ValueError(f"`texts_per_row` must be at least 1. Received: {texts_per_row!r}")
        self.texts_per_row = texts_per_row
        self.pooling = pooling
        self.normalize = normalize
        self.encoder = make_encoder(self.config, self.dtype_policy)
        self.build(self.input_shapes())

    def outputs_of(self, encoded: Batch, inputs: Batch, training: bool = False, seed: Tensor | None = None) -> Tensor:
        """Return the texts' vectors, float32 [B, T, D]; arguments as in `BertModel.outputs_of`.

        `input_mask` is k on the tokens of a row's k-th text. The `position_ids` of each text count from 0. They are
        needed if `pooling` is `cls` and T is more than 1.
        """
        vectors = [
            text_vectors(encoded, inputs, self.pooling, normalize=self.normalize, numpy=ops, sequence=number)
            for number in range(1, self.texts_per_row + 1)
        ]
        return ops.stack(vectors, axis=1)
