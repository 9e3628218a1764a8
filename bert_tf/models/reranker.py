"""BERT for the relevance of a passage to a query, which it reads together.

Shapes: B batch, L length, D hidden.
"""

from typing import Any

import keras

from bert_tf.configs import BertConfig
from bert_tf.features import Batch, Tensor
from bert_tf.models.base import BertModel
from bert_tf.models.pooling import check_pooling
from bert_tf.models.shared_encoder import make_encoder


@keras.saving.register_keras_serializable(package="bert_tf")
class BertReranker(BertModel):
    """A cross-encoder: dropout and a dense layer on the pooled output of a query and a passage.

    Follows Nogueira and Cho 2019, "Passage Re-ranking with BERT", with one logit, as `BertForSequenceClassification` of
    one label has.

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.
        dropout_rate: dropout before the last layer.
        pooling: `cls` or `mean`, as in `BertClassifier`.

    >>> config = BertConfig(vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16)
    >>> BertReranker(config)({"input_ids": keras.ops.ones((2, 6), "int32")}).shape
    TensorShape([2])
    """

    def __init__(
        self, config: BertConfig | dict[str, Any], *, dropout_rate: float = 0.1, pooling: str = "cls", **kwargs: Any
    ) -> None:
        super().__init__(config, **kwargs)
        check_pooling(pooling)
        self.dropout_rate = dropout_rate
        self.pooling = pooling
        self.encoder = make_encoder(self.config, self.dtype_policy)
        self.reranking = self.make_head("reranking", 1, dropout_rate)
        self.build(self.input_shapes())

    def outputs_of(self, encoded: Batch, inputs: Batch, training: bool = False, seed: Tensor | None = None) -> Tensor:
        """Return the logits, float32 [B]; arguments as in `BertModel.outputs_of`."""
        pooled = self.encoder.pooled_vectors(encoded, inputs, pooling=self.pooling)  # [B, D]
        return self.reranking(pooled, training=training, seed=self.head_seed(seed))[:, 0]
