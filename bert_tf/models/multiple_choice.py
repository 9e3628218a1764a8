"""BERT for multiple choice: one logit for each choice.

Shapes: B batch, L length, K choices in a row, D hidden.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from bert_tf.configs import BertConfig
from bert_tf.features import Batch, Tensor
from bert_tf.layers.heads import gather_positions
from bert_tf.models.base import BertModel
from bert_tf.models.shared_encoder import make_encoder

_NO_CHOICE = np.float32(-1.0e9)  # the logit of a choice that a row does not have


@keras.saving.register_keras_serializable(package="bert_tf")
class BertMultipleChoice(BertModel):
    """A model that chooses: dropout and a dense layer on the pooled output of each choice (SWAG in Devlin et al. 2018).

    Each choice is a sequence of its own, the context with this choice (section 4.4). The sequences may follow each
    other in one row, and none attends to another. It computes what `BertForMultipleChoice` of `transformers` computes.

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.
        dropout_rate: dropout before the last layer.

    >>> config = BertConfig(vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16)
    >>> model = BertMultipleChoice(config)
    >>> row = {"input_ids": [[1, 2, 1, 2]], "input_mask": [[1, 1, 2, 2]], "position_ids": [[0, 1, 0, 1]]}
    >>> model(row | {"choice_positions": [[0, 2]]}).shape
    TensorShape([1, 2])
    """

    def __init__(self, config: BertConfig | dict[str, Any], *, dropout_rate: float = 0.1, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.dropout_rate = dropout_rate
        self.encoder = make_encoder(self.config, self.dtype_policy)
        self.multiple_choice = self.make_head("multiple_choice", 1, dropout_rate)
        self.build(self.input_shapes())

    def outputs_of(self, encoded: Batch, inputs: Batch, training: bool = False, seed: Tensor | None = None) -> Tensor:
        """Return the logits, float32 [B, K]; arguments as in `BertModel.outputs_of`.

        `inputs` may hold `choice_positions` int [B, K], the positions of the choices' `[CLS]` tokens, -1 for a choice
        that the row does not have. Its logit is very low. Without them a row holds one choice, and K is 1.
        """
        head_seed = self.head_seed(seed)
        positions = inputs.get("choice_positions")
        if positions is None:
            return self.multiple_choice(encoded["pooled_output"], training=training, seed=head_seed)
        first_vectors = gather_positions(encoded["sequence_output"], ops.maximum(positions, 0))  # [B, K, D]
        logits = self.multiple_choice(self.encoder.pooler(first_vectors), training=training, seed=head_seed)
        return ops.where(positions < 0, _NO_CHOICE, logits[..., 0])

    @staticmethod
    def probabilities(logits: Tensor) -> Tensor:
        """Return the probability of each choice, float32 [B, K]; they sum to 1."""
        return ops.softmax(logits, axis=-1)
