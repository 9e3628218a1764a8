"""BERT for sentences and pairs of sentences.

Shapes: B batch, L length, D hidden, C classes.
"""

from typing import Any

import keras

from bert_tf.configs import BertConfig
from bert_tf.layers.base import seed_part
from bert_tf.models.base import BertModel
from bert_tf.models.encoder import BertEncoder
from bert_tf.models.pooling import check_pooling, pooled_vectors


@keras.saving.register_keras_serializable(package="bert_tf")
class BertClassifier(BertModel):
    """Dropout and a dense layer on the pooled output (Devlin et al. 2018, section 4.1).

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.
        num_classes: C.
        dropout_rate: before the last layer.
        pooling: `cls` reads the pooled output of `[CLS]`; `mean` puts the pooler over the mean of the row's vectors.

    >>> config = BertConfig(vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16)
    >>> BertClassifier(config, num_classes=3)({"input_ids": keras.ops.ones((2, 6), "int32")}).shape
    TensorShape([2, 3])
    """

    def __init__(
        self,
        config: BertConfig | dict[str, Any],
        num_classes: int,
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
        self.encoder = BertEncoder(self.config, dtype=self.dtype_policy, name="encoder")
        self.classification = self.make_head("classification", num_classes, dropout_rate)
        self.build(None)

    def call(self, inputs: dict[str, Any], training: bool = False, seed: Any = None) -> Any:
        """Logits, float32 [B, C].

        Args:
            inputs: the encoder's inputs.
            training: whether to drop.
            seed: integer scalar that all dropout masks are made from; None: each layer counts its own.
        """
        return self.outputs_of(self.encoder(inputs, training=training, seed=seed), inputs, training, seed)

    def outputs_of(
        self, encoded: dict[str, Any], inputs: dict[str, Any], training: bool = False, seed: Any = None
    ) -> Any:
        """What `call` returns, of what the encoder made of `inputs`; other arguments as there."""
        pooled = pooled_vectors(self.encoder, encoded, inputs, self.pooling)  # [B, D]
        # The encoder folds 0 .. num_layers into the seed; the head takes the next number.
        return self.classification(pooled, training=training, seed=seed_part(seed, self.config.num_layers + 1))

    @staticmethod
    def probabilities(logits: Any) -> Any:
        """Of each class, float32 [B, C]; they sum to 1."""
        return keras.ops.softmax(logits, axis=-1)
