"""Exports of encoders and of pre-trained models: vectors of texts, and tokens for `[MASK]`.

Axes: B texts, L length, P masks, D hidden, V vocabulary.
"""

from typing import Any

import tensorflow as tf

from bert_tf.models.pooling import text_vectors
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.runs.folder import RunDescription
from bert_tf.serving.signatures.base import ID_NAMES, Signatures, named
from bert_tf.serving.static_shapes import Tensors
from bert_tf.tokenization.wordpiece import WordPieceTokenizer


class EncoderSignatures(Signatures):
    """`embedding` float32 [B, D], as `Predictor.embed` gives it; of `token_ids` also what the encoder gives.

    That is `sequence_output` float32 [B, L, D] and, where there is a pooler, `pooled_output` float32 [B, D].
    """

    def __init__(self, model: Any, description: RunDescription, *args: Any) -> None:
        super().__init__(model, description, *args)
        settings = description.experiment
        self.pooling, self.normalize = settings.get("pooling", "mean"), settings.get("normalize", False)
        self.has_pooler = settings.get("has_pooler", True)
        self.encoder = self.forward

    def from_texts(self, text: tf.Tensor) -> Tensors:
        """The class's outputs of `serving_default`."""
        return self.embedding(text)

    def from_ids(self, inputs: Tensors) -> Tensors:
        """The class's outputs of `token_ids`."""
        return self.encoded(inputs)

    def embedding(self, text: tf.Tensor) -> Tensors:
        """The vectors of texts alone."""
        return {"embedding": self.encoded(self.rows(self.graph_tokenizer.tokenize(text)))["embedding"]}

    def encoded(self, inputs: Tensors) -> Tensors:
        """What the encoder gives for rows, and their vectors."""
        encoded = {name: tf.cast(tensor, tf.float32) for name, tensor in self.encoder(inputs).items()}
        outputs = encoded | {"embedding": text_vectors(encoded, inputs, self.pooling, normalize=self.normalize)}
        if not self.has_pooler:
            del outputs["pooled_output"]
        return outputs


class MaskedLMSignatures(EncoderSignatures):
    """For each `[MASK]` of a text the likeliest tokens.

    `tokens` string and `probabilities` float32 [B, P, k], likeliest first, and `num_masks` int32 [B]: a text with fewer
    masks than another has meaningless answers behind its own. `token_ids` takes `masked_lm_positions` int32 [B, P]
    too, and gives `masked_lm_logits` float32 [B, P, V] and `next_sentence_logits` float32 [B, 2] (0: the second text
    follows the first). Two signatures more: `embedding` takes `text`, and `encoder` takes ids; see `EncoderSignatures`.
    """

    id_inputs = (*ID_NAMES, "masked_lm_positions")
    needs_mask = True

    def __init__(self, model: Any, description: RunDescription, tokenizer: WordPieceTokenizer, *args: Any) -> None:
        super().__init__(model, description, tokenizer, *args)
        self.encoder = self.function(model.encoder, (*ID_NAMES, "position_ids"))
        self.tokens = tf.constant(tokenizer.tokens)
        self.mask_id = tokenizer.mask_id
        if self.options.top_k > tokenizer.vocab_size:
            raise ValueError(
                f"--top_k must be at most the {tokenizer.vocab_size} tokens of the vocabulary. "
                f"Received: {self.options.top_k}"
            )

    def from_texts(self, text: tf.Tensor) -> Tensors:
        """The class's outputs of `serving_default`."""
        inputs = self.rows(self.graph_tokenizer.tokenize(text, parse_mask=True))
        is_mask = inputs["input_ids"] == self.mask_id
        places = tf.broadcast_to(tf.range(tf.shape(is_mask)[1]), tf.shape(is_mask))
        positions = tf.ragged.boolean_mask(places, is_mask)
        outputs = self.forward(inputs | {"masked_lm_positions": positions.to_tensor()})
        logits, vocab_size = outputs["masked_lm_logits"], self.tokens.shape[0]
        probabilities, ids = BertPretrainer.likeliest_tokens(logits, vocab_size, self.options.top_k)
        return {
            "tokens": tf.gather(self.tokens, ids),
            "probabilities": probabilities,
            "num_masks": tf.cast(positions.row_lengths(), tf.int32),
        }

    def from_ids(self, inputs: Tensors) -> Tensors:
        """The class's outputs of `token_ids`."""
        return self.forward(inputs)

    def signatures(self) -> dict[str, Any]:
        """Those of all exports, and two more."""

        @tf.function(input_signature=[named(tf.TensorSpec([None], tf.string), "text")], autograph=False)
        def embedding(text: tf.Tensor) -> Tensors:
            return self.embedding(text)

        more = {"embedding": embedding, "encoder": self.of_ids(self.encoded, ID_NAMES)}
        return super().signatures() | more
