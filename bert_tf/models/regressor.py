"""BERT for numbers: one for each text or pair of texts.

Shapes: B batch, L length, D hidden.
"""

from typing import Any

import keras

from bert_tf.configs import BertConfig
from bert_tf.layers.base import seed_part
from bert_tf.models.base import BertModel
from bert_tf.models.encoder import BertEncoder
from bert_tf.models.pooling import check_pooling, pooled_vectors


@keras.saving.register_keras_serializable(package="bert_tf")
class BertRegressor(BertModel):
    """Dropout and a dense layer to one number on the pooled output (STS-B in Devlin et al. 2018, section 4.1).

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.
        dropout_rate: before the last layer.
        pooling: as in `BertClassifier`.

    >>> config = BertConfig(vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16)
    >>> BertRegressor(config)({"input_ids": keras.ops.ones((2, 6), "int32")}).shape
    TensorShape([2])
    """

    def __init__(
        self, config: BertConfig | dict[str, Any], dropout_rate: float = 0.1, pooling: str = "cls", **kwargs: Any
    ) -> None:
        super().__init__(config, **kwargs)
        check_pooling(pooling)
        self.dropout_rate = dropout_rate
        self.pooling = pooling
        self.encoder = BertEncoder(self.config, dtype=self.dtype_policy, name="encoder")
        self.regression = self.make_head("regression", 1, dropout_rate)
        self.build(None)

    def call(self, inputs: dict[str, Any], training: bool = False, seed: Any = None) -> Any:
        """The numbers, float32 [B]; arguments as in `BertClassifier`."""
        return self.outputs_of(self.encoder(inputs, training=training, seed=seed), inputs, training, seed)

    def outputs_of(
        self, encoded: dict[str, Any], inputs: dict[str, Any], training: bool = False, seed: Any = None
    ) -> Any:
        """What `call` returns, of what the encoder made of `inputs`; other arguments as there."""
        pooled = pooled_vectors(self.encoder, encoded, inputs, self.pooling)  # [B, D]
        head_seed = seed_part(seed, self.config.num_layers + 1)
        return self.regression(pooled, training=training, seed=head_seed)[:, 0]
