"""BERT for sequence to sequence: the encoder and its masked-LM head, which predict a target token by token.

Shapes: B batch, L length, P predictions, V vocabulary.
"""

from typing import Any

import keras

from bert_tf.configs import BertConfig
from bert_tf.features import Batch, Tensor
from bert_tf.models.base import BertModel
from bert_tf.models.shared_encoder import make_encoder


@keras.saving.register_keras_serializable(package="bert_tf")
class BertSeq2Seq(BertModel):
    """A model of targets given their sources (Dong et al. 2019, "Unified Language Model Pre-training", section 2.3).

    A row is `[CLS] source [SEP] target [SEP]`, whose `order` is 0 on the source and 1, 2, 3, ... on the target. The
    masked-LM head predicts each token of the target at the position before it. There are no other weights than those of
    a pre-trained BERT with its masked-LM head, whose names are the same here.

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.

    >>> config = BertConfig(vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16)
    >>> ids, order = keras.ops.ones((1, 6), "int32"), keras.ops.array([[0, 0, 0, 1, 2, 3]])
    >>> BertSeq2Seq(config)({"input_ids": ids, "order": order, "next_token_positions": ids[:, :2]}).shape
    TensorShape([1, 2, 30])
    """

    required_inputs = ("input_ids", "next_token_positions")

    def __init__(self, config: BertConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.encoder = make_encoder(self.config, self.dtype_policy)
        self.masked_lm = self.make_masked_lm_head()
        c = self.config
        # Built here, not by Keras, so that the weights' names begin with that of the head.
        self.masked_lm.build(
            (None, None, c.hidden_size), (None, None), (c.vocab_size, c.embedding_size or c.hidden_size)
        )
        self.build(self.input_shapes())

    def outputs_of(self, encoded: Batch, inputs: Batch, training: bool = False, seed: Tensor | None = None) -> Tensor:
        """Return the logits of the tokens that follow `next_token_positions`, float32 [B, P, V].

        Under training, they have the compute dtype. Arguments are as in `BertModel.outputs_of`; `inputs` also holds
        `next_token_positions`, int [B, P].
        """
        return self.masked_lm(
            encoded["sequence_output"],
            inputs["next_token_positions"],
            self.encoder.embeddings.word_embeddings.embeddings,
            training=training,
        )
