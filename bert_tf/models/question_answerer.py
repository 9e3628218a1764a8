"""BERT for answers that are spans of a text.

Shapes: B batch, L length, D hidden.
"""

from typing import Any

import keras

from bert_tf.configs import BertConfig
from bert_tf.models.base import BertModel
from bert_tf.models.encoder import BertEncoder


@keras.saving.register_keras_serializable(package="bert_tf")
class BertQuestionAnswerer(BertModel):
    """Scores of every token as the answer's first and last one (Devlin et al. 2018, section 4.2).

    One dense layer without dropout before it, as in google-research/bert `run_squad.py`.

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.

    >>> config = BertConfig(vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16)
    >>> outputs = BertQuestionAnswerer(config)({"input_ids": keras.ops.ones((2, 6), "int32")})
    >>> outputs["start_logits"].shape, outputs["end_logits"].shape
    (TensorShape([2, 6]), TensorShape([2, 6]))
    """

    def __init__(self, config: BertConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.encoder = BertEncoder(self.config, dtype=self.dtype_policy, name="encoder")
        self.question_answering = self.make_head("question_answering", 2)
        self.build(None)

    def call(self, inputs: dict[str, Any], training: bool = False, seed: Any = None) -> dict[str, Any]:
        """Scores of the answer's ends; those of padding are not masked.

        Args:
            inputs: the encoder's inputs.
            training: whether to drop.
            seed: integer scalar that all dropout masks are made from; None: each layer counts its own.

        Returns:
            `start_logits` and `end_logits`, float32 [B, L].
        """
        return self.outputs_of(self.encoder(inputs, training=training, seed=seed), inputs, training, seed)

    def outputs_of(
        self, encoded: dict[str, Any], inputs: dict[str, Any], training: bool = False, seed: Any = None
    ) -> dict[str, Any]:
        """What `call` returns, of what the encoder made of `inputs`; other arguments as there."""
        logits = self.question_answering(encoded["sequence_output"], training=training)  # [B, L, 2]
        return {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}
