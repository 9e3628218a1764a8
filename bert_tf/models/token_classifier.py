"""BERT for tags of words: named entities, parts of speech.

Shapes: B batch, L length, D hidden, C classes.
"""

from typing import Any

import keras

from bert_tf.configs import BertConfig
from bert_tf.features import Batch, Tensor
from bert_tf.models.base import BertModel
from bert_tf.models.shared_encoder import make_encoder


@keras.saving.register_keras_serializable(package="bert_tf")
class BertTokenClassifier(BertModel):
    """A classifier of tokens: dropout and a dense layer on every token's vector (Devlin et al. 2018, section 5.3).

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.
        num_classes: C.
        dropout_rate: dropout before the last layer.

    >>> config = BertConfig(vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16)
    >>> BertTokenClassifier(config, num_classes=3)({"input_ids": keras.ops.ones((2, 6), "int32")}).shape
    TensorShape([2, 6, 3])
    """

    def __init__(
        self, config: BertConfig | dict[str, Any], num_classes: int, *, dropout_rate: float = 0.1, **kwargs: Any
    ) -> None:
        super().__init__(config, **kwargs)
        if num_classes < 2:
            raise ValueError(f"`num_classes` must be at least 2. Received: {num_classes!r}")
        self.num_classes = num_classes
        self.dropout_rate = dropout_rate
        self.encoder = make_encoder(self.config, self.dtype_policy)
        self.token_classification = self.make_head("token_classification", num_classes, dropout_rate)
        self.build(self.input_shapes())

    def outputs_of(self, encoded: Batch, inputs: Batch, training: bool = False, seed: Tensor | None = None) -> Tensor:
        """Return the logits, float32 [B, L, C]; arguments as in `BertModel.outputs_of`."""
        return self.token_classification(encoded["sequence_output"], training=training, seed=self.head_seed(seed))

    @staticmethod
    def probabilities(logits: Tensor) -> Tensor:
        """Return the probability of each class, float32 [B, L, C]; they sum to 1 at each token."""
        return keras.ops.softmax(logits, axis=-1)
