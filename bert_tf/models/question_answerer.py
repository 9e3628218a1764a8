"""BERT for answers that are spans of a text.

Shapes: B batch, L length, D hidden.
"""

from typing import Any

import keras

from bert_tf.configs import BertConfig
from bert_tf.features import Batch, Tensor
from bert_tf.models.base import BertModel
from bert_tf.models.shared_encoder import make_encoder


@keras.saving.register_keras_serializable(package="bert_tf")
class BertQuestionAnswerer(BertModel):
    """A model that scores every token as the answer's first and as its last (Devlin et al. 2018, section 4.2).

    Its head is one dense layer, without dropout, as in google-research/bert `run_squad.py`.

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.

    >>> config = BertConfig(vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16)
    >>> outputs = BertQuestionAnswerer(config)({"input_ids": keras.ops.ones((2, 6), "int32")})
    >>> outputs["start_logits"].shape, outputs["end_logits"].shape
    (TensorShape([2, 6]), TensorShape([2, 6]))
    """

    def __init__(self, config: BertConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.encoder = make_encoder(self.config, self.dtype_policy)
        self.question_answering = self.make_head("question_answering", 2)
        self.build(self.input_shapes())

    def outputs_of(self, encoded: Batch, inputs: Batch, training: bool = False, seed: Tensor | None = None) -> Batch:
        """Return `start_logits` and `end_logits`, float32 [B, L]; arguments as in `BertModel.outputs_of`.

        Logits of padding are not masked.
        """
        logits = self.question_answering(encoded["sequence_output"], training=training)  # [B, L, 2]
        return {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}
