"""The signatures of pre-trained models: the likeliest tokens at each `[MASK]`.

Axes: B texts, P masks, V vocabulary.
"""

from typing import Any

import tensorflow as tf

from bert_tf.features import ID_NAMES
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.runs.descriptions import ModelDescription
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.signatures.base import named
from bert_tf.serving.signatures.embedding import EncoderSignatures
from bert_tf.serving.static_shapes import Tensors
from bert_tf.tasks.model_kinds import Pretraining
from bert_tf.tokenization.wordpiece import MASK, WordPieceTokenizer


class MaskedLMSignatures(EncoderSignatures):
    """The signatures of a model that fills masks.

    The outputs are `tokens` string and `probabilities` float32 [B, P, k], likeliest first, and `num_masks` int32 [B].
    Outputs after a text's own masks have no meaning. `token_ids` also takes `masked_lm_positions` int32 [B, P]; it
    returns `masked_lm_logits` float32 [B, P, V] and `next_sentence_logits` float32 [B, 2] (index 0: the second text
    follows the first). Two more signatures, `embedding` for texts and `encoder` for ids, return the outputs of
    `EncoderSignatures`.
    """

    model_kind = Pretraining
    id_inputs = (*ID_NAMES, *Pretraining.head_inputs)
    needs_mask = True

    def __init__(
        self, model: Any, description: ModelDescription, tokenizer: WordPieceTokenizer, *, options: ExportOptions
    ) -> None:
        super().__init__(model, description, tokenizer, options=options)
        self.encoder = self.function(model.encoder, (*ID_NAMES, "position_ids"))
        self.tokens = tf.constant(tokenizer.tokens)
        self.mask_id = tokenizer.mask_id
        self.top_k = 5 if options.top_k is None else options.top_k
        if self.top_k > tokenizer.vocab_size:
            raise ValueError(
                f"`top_k` must be at most the {tokenizer.vocab_size} tokens of the vocabulary. Received: {self.top_k}"
            )

    def from_texts(self, text: tf.Tensor) -> Tensors:
        """Return the class's outputs of `serving_default`."""
        inputs = self.rows(self.graph_tokenizer.tokenize(text, MASK))
        is_mask = inputs["input_ids"] == self.mask_id
        indices = tf.broadcast_to(tf.range(tf.shape(is_mask)[1]), tf.shape(is_mask))
        positions = tf.ragged.boolean_mask(indices, is_mask)
        outputs = self.forward(inputs | {"masked_lm_positions": positions.to_tensor()})
        logits, vocab_size = outputs["masked_lm_logits"], self.tokens.shape[0]
        probabilities, ids = BertPretrainer.likeliest_tokens(logits, vocab_size, self.top_k)
        return {
            "tokens": tf.gather(self.tokens, ids),
            "probabilities": probabilities,
            "num_masks": tf.cast(positions.row_lengths(), tf.int32),
        }

    def from_ids(self, inputs: Tensors) -> Tensors:
        """Return the class's outputs of `token_ids`."""
        return self.forward(inputs)

    def signatures(self) -> dict[str, Any]:
        """Return the functions of all exports, and those of `embedding` and `encoder`."""

        @tf.function(input_signature=[named(tf.TensorSpec([None], tf.string), "text")], autograph=False)
        def embedding(text: tf.Tensor) -> Tensors:
            return self.embedding(text)

        more = {"embedding": embedding, "encoder": self.of_ids(self.encoded, ID_NAMES)}
        return super().signatures() | more
