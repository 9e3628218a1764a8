"""BERT for retrieval: one vector for each text, those of a query and of the passages that answer it close together.

Shapes: B batch, L length, D hidden, T texts in a row.
"""

from typing import Any

import keras
from keras import ops

from bert_tf.configs import BertConfig
from bert_tf.models.base import BertModel
from bert_tf.models.encoder import BertEncoder
from bert_tf.models.pooling import POOLINGS, check_pooling, text_vectors


@keras.saving.register_keras_serializable(package="bert_tf")
class BertDualEncoder(BertModel):
    """One encoder for queries and passages alike (Reimers and Gurevych 2019, "Sentence-BERT", section 3).

    The texts that are compared stand in one row, one behind the other; none attends to another. It has no weights but
    the encoder's; the pooler is not used.

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.
        texts_per_row: T.
        pooling: `mean` of a text's vectors, or that of its `[CLS]` (`cls`).
        normalize: whether vectors are brought to length 1.

    >>> config = BertConfig(vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16)
    >>> mask = keras.ops.array([[1, 1, 2, 2, 2, 0]])
    >>> BertDualEncoder(config)({"input_ids": keras.ops.ones((1, 6), "int32"), "input_mask": mask}).shape
    TensorShape([1, 2, 8])
    """

    def __init__(
        self,
        config: BertConfig | dict[str, Any],
        texts_per_row: int = 2,
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
        self.encoder = BertEncoder(self.config, dtype=self.dtype_policy, name="encoder")
        self.build(None)

    def call(self, inputs: dict[str, Any], training: bool = False, seed: Any = None) -> Any:
        """The texts' vectors, float32 [B, T, D].

        Args:
            inputs: the encoder's inputs; `input_mask` is k at the tokens of a row's k-th text, whose `position_ids`
                count from 0 (needed where `pooling` is `cls` and T more than 1).
            training: whether to drop.
            seed: integer scalar that all dropout masks are made from; None: each layer counts its own.
        """
        return self.outputs_of(self.encoder(inputs, training=training, seed=seed), inputs, training, seed)

    def outputs_of(
        self, encoded: dict[str, Any], inputs: dict[str, Any], training: bool = False, seed: Any = None
    ) -> Any:
        """What `call` returns, of what the encoder made of `inputs`; other arguments as there."""
        vectors = [
            text_vectors(encoded, inputs, self.pooling, self.normalize, sequence=number + 1)
            for number in range(self.texts_per_row)
        ]
        return ops.stack(vectors, axis=1)
