"""BERT for tags of words: named entities, parts of speech.

Shapes: B batch, L length, D hidden, C classes.
"""

from typing import Any

import keras

from bert_tf.configs import BertConfig
from bert_tf.layers.base import seed_part
from bert_tf.models.base import BertModel
from bert_tf.models.encoder import BertEncoder


@keras.saving.register_keras_serializable(package="bert_tf")
class BertTokenClassifier(BertModel):
    """Dropout and a dense layer on every token's vector (Devlin et al. 2018, section 5.3).

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.
        num_classes: C.
        dropout_rate: before the last layer.

    >>> config = BertConfig(vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16)
    >>> BertTokenClassifier(config, num_classes=3)({"input_ids": keras.ops.ones((2, 6), "int32")}).shape
    TensorShape([2, 6, 3])
    """

    def __init__(
        self, config: BertConfig | dict[str, Any], num_classes: int, dropout_rate: float = 0.1, **kwargs: Any
    ) -> None:
        super().__init__(config, **kwargs)
        if num_classes < 2:
            raise ValueError(f"`num_classes` must be at least 2. Received: {num_classes!r}")
        self.num_classes = num_classes
        self.dropout_rate = dropout_rate
        self.encoder = BertEncoder(self.config, dtype=self.dtype_policy, name="encoder")
        self.token_classification = self.make_head("token_classification", num_classes, dropout_rate)
        self.build(None)

    def call(self, inputs: dict[str, Any], training: bool = False, seed: Any = None) -> Any:
        """Logits, float32 [B, L, C].

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
        # The encoder folds 0 .. num_layers into the seed; the head takes the next number.
        head_seed = seed_part(seed, self.config.num_layers + 1)
        return self.token_classification(encoded["sequence_output"], training=training, seed=head_seed)

    @staticmethod
    def probabilities(logits: Any) -> Any:
        """Of each class, float32 [B, L, C]; they sum to 1 at each token."""
        return keras.ops.softmax(logits, axis=-1)
