"""BERT for sentences and pairs of sentences.

Shapes: B batch, L length, D hidden, C classes.
"""

from typing import Any

import keras

from bert_tf.configs import BertConfig
from bert_tf.features import Batch, Tensor
from bert_tf.models.base import BertModel
from bert_tf.models.pooling import check_pooling
from bert_tf.models.shared_encoder import make_encoder


@keras.saving.register_keras_serializable(package="bert_tf")
class BertClassifier(BertModel):
    """A classifier: dropout and a dense layer on the pooled output (Devlin et al. 2018, section 4.1).

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.
        num_classes: C.
        dropout_rate: dropout before the last layer.
        pooling: `cls` reads the pooled output of `[CLS]`; `mean` applies the pooler to the mean of the row's vectors.

    >>> config = BertConfig(vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16)
    >>> BertClassifier(config, num_classes=3)({"input_ids": keras.ops.ones((2, 6), "int32")}).shape
    TensorShape([2, 3])
    """

    def __init__(
        self,
        config: BertConfig | dict[str, Any],
        num_classes: int,
        *,
        dropout_rate: float = 0.1,
        pooling: str = "cls",
        **kwargs: Any,
    ) -> None:
        super().__init__(config, **kwargs)
        if num_classes < 2:
            raise ValueError(f"`num_classes` must be at least 2. Received: {num_classes!r}")
        check_pooling(pooling)
        self.num_classes = num_classes
        self.dropout_rate = dropout_rate
        self.pooling = pooling
        self.encoder = make_encoder(self.config, self.dtype_policy)
        self.classification = self.make_head("classification", num_classes, dropout_rate)
        self.build(self.input_shapes())

    def outputs_of(self, encoded: Batch, inputs: Batch, training: bool = False, seed: Tensor | None = None) -> Tensor:
        """Return the logits, float32 [B, C]; arguments as in `BertModel.outputs_of`."""
        pooled = self.encoder.pooled_vectors(encoded, inputs, pooling=self.pooling)  # [B, D]
        return self.classification(pooled, training=training, seed=self.head_seed(seed))

    @staticmethod
    def probabilities(logits: Tensor) -> Tensor:
        """Return the probability of each class, float32 [B, C]; they sum to 1."""
        return keras.ops.softmax(logits, axis=-1)
