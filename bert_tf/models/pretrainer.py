"""BERT with its two pre-training heads.

Shapes: B batch, L length, P predictions, K sequences in a row, D hidden, V vocabulary.
"""

from typing import Any

import keras
from keras import ops

from bert_tf.configs import BertConfig
from bert_tf.features import Batch, Tensor
from bert_tf.layers.heads import ClassificationHead, gather_positions
from bert_tf.models.base import BertModel
from bert_tf.models.encoder import BertEncoder


@keras.saving.register_keras_serializable(package="bert_tf")
class BertPretrainer(BertModel):
    """The model of pre-training: masked-LM and next-sentence heads on the encoder (Devlin et al. 2018, section 3.1).

    Args:
        config: sizes and options of the encoder; a `BertConfig` or its dictionary.

    >>> config = BertConfig(vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16)
    >>> ids = keras.ops.ones((1, 6), "int32")
    >>> outputs = BertPretrainer(config)({"input_ids": ids, "masked_lm_positions": ids[:, :2]})
    >>> outputs["masked_lm_logits"].shape, outputs["next_sentence_logits"].shape
    (TensorShape([1, 2, 30]), TensorShape([1, 2]))
    """

    required_inputs = ("input_ids", "masked_lm_positions")

    def __init__(self, config: BertConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        c = self.config
        self.encoder = BertEncoder(c, dtype=self.dtype_policy, name="encoder")
        self.masked_lm = self.make_masked_lm_head()
        # Class 0 means that B follows A, class 1 that B is random. As in Google's code, no dropout precedes it.
        self.next_sentence = ClassificationHead(
            2, c.hidden_size, initializer_range=c.initializer_range, dtype=self.dtype_policy, name="next_sentence"
        )
        self.build(self.input_shapes())

    def build(self, input_shape: Any = None) -> None:
        """Create the heads' weights. They depend on the configuration alone."""
        if self.built:
            return
        c = self.config
        table = (c.vocab_size, c.embedding_size or c.hidden_size)
        self.masked_lm.build((None, None, c.hidden_size), (None, None), table)
        self.next_sentence.build((None, self.config.hidden_size))
        self.built = True

    def outputs_of(self, encoded: Batch, inputs: Batch, training: bool = False, seed: Tensor | None = None) -> Batch:
        """Return the logits of both objectives; arguments as in `BertModel.outputs_of`.

        `inputs` also holds `masked_lm_positions` int [B, P] and, for packed rows, `next_sentence_positions` int [B, K],
        the positions of the `[CLS]` tokens.

        Returns:
            `masked_lm_logits` float32 [B, P, V] (under training in the compute dtype), and `next_sentence_logits`
            float32 [B, K, 2], or [B, 2] without `next_sentence_positions`.
        """
        sequence_output = encoded["sequence_output"]
        positions = inputs.get("next_sentence_positions")
        if positions is None:
            pooled = encoded["pooled_output"]  # [B, D]
        else:
            pooled = self.encoder.pooler(gather_positions(sequence_output, positions))  # [B, K, D]
        return {
            "masked_lm_logits": self.masked_lm(
                sequence_output,
                inputs["masked_lm_positions"],
                self.encoder.embeddings.word_embeddings.embeddings,
                training=training,
            ),
            "next_sentence_logits": self.next_sentence(pooled, training=training),
        }

    @staticmethod
    def likeliest_tokens(logits: Tensor, vocab_size: int, count: int) -> tuple[Tensor, Tensor]:
        """Return the most likely tokens at each masked position.

        Args:
            logits: `masked_lm_logits`, float [..., V].
            vocab_size: number of the tokenizer's tokens. A model may have more rows of embeddings, which are no tokens.
            count: k, at most `vocab_size`.

        Returns:
            Probabilities, float32 [..., k], in descending order, and ids, int32 [..., k].
        """
        probabilities = ops.softmax(ops.cast(logits, "float32"), axis=-1)
        return ops.top_k(probabilities[..., :vocab_size], count)

    @staticmethod
    def log_probabilities_of(logits: Tensor, ids: Tensor) -> Tensor:
        """Return the logarithm of the probability of one token at each masked position.

        Args:
            logits: `masked_lm_logits`, float [B, P, V].
            ids: the tokens, int [B, P].

        Returns:
            float32 [B, P].
        """
        logits = ops.cast(logits, "float32")
        of_tokens = ops.take_along_axis(logits, ops.expand_dims(ids, -1), axis=-1)[..., 0]
        return of_tokens - ops.logsumexp(logits, axis=-1)
