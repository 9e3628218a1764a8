"""The signatures of models for sequence to sequence, which generate texts.

Axes: B texts, S length of the sources, R targets of each, T length of the targets.
"""

from typing import Any, ClassVar

import tensorflow as tf

from bert_tf.features import ID_NAMES
from bert_tf.models.generation import Generation
from bert_tf.preprocessing.graph_detokenizer import GraphDetokenizer
from bert_tf.runs.descriptions import ModelDescription
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.signatures.base import Signatures
from bert_tf.serving.static_shapes import Tensors, shaped
from bert_tf.tasks.model_kinds import ModelKind
from bert_tf.tasks.seq2seq import Seq2Seq
from bert_tf.tokenization.generated import generated_tokens
from bert_tf.tokenization.wordpiece import SEP, WordPieceTokenizer


class Seq2SeqSignatures(Signatures):
    """The signatures of a model that generates texts, by the options `decoding` of its description.

    The outputs are `texts` string [B], their `scores` and `log_probabilities` float32 [B], as in `Predictor.generate`,
    and `num_tokens` int32 [B], with `[SEP]`; with `num_return` above 1 all are [B, R], the best first. A source without
    tokens gives the text "". If texts are drawn, `serving_default`, `examples` and `token_ids` also take `seed`, int32
    [B] from 0, which together with a text fixes what is generated from it. `token_ids` returns `tokens` int32
    [B, R, T], 0 after the end, their number `lengths` int32 [B, R], and `scores` and `log_probabilities` float32
    [B, R].
    """

    model_kind: ClassVar[type[ModelKind]] = Seq2Seq

    def __init__(
        self, model: Any, description: ModelDescription, tokenizer: WordPieceTokenizer, *, options: ExportOptions
    ) -> None:
        super().__init__(model, description, tokenizer, options=options)
        decoding = description.decoding
        assert decoding is not None
        self.decoding, self.end = decoding, tokenizer.sep_id
        allowed = generated_tokens(tokenizer, description.model.vocab_size)
        names = [*ID_NAMES, "position_ids"]
        if decoding.sampled:
            self.number_inputs = ("seed",)
            names.append("seeds")
        generation = Generation(model, decoding, allowed, tokenizer.sep_id)
        self.forward = shaped(generation, names, options, max_seq_length=self.max_seq_length)
        self.detokenizer = GraphDetokenizer(tokenizer.tokens)

    def longest_row(self, description: ModelDescription) -> int:
        """Return the largest number of tokens of a source."""
        config: Any = description.task_config
        return config.max_source_length

    def from_texts(self, text: tf.Tensor, **numbers: tf.Tensor) -> Tensors:
        """Return the class's outputs of `serving_default`."""
        ids = self.graph_tokenizer.tokenize(text, SEP)
        if self.task.truncation_side == "left":
            ids = ids[:, -(self.max_seq_length - 2) :]
        inputs = self.rows(ids) | numbers
        mask = inputs["input_mask"]
        has_tokens = tf.reduce_sum(mask, axis=1, keepdims=True) > 2  # besides [CLS] and [SEP]
        found = self.from_ids(inputs | {"input_mask": tf.where(has_tokens, mask, 0)})
        returned, length = self.decoding.num_return, self.decoding.max_length
        tokens = tf.reshape(found["tokens"], [-1, length])
        num_tokens = tf.reshape(found["lengths"], [-1])
        has_end = tf.reduce_any(tokens == self.end, axis=1)
        outputs = {
            "texts": self.detokenizer(tokens, num_tokens - tf.cast(has_end, tf.int32)),
            "num_tokens": num_tokens,
            "scores": tf.where(num_tokens > 0, tf.reshape(found["scores"], [-1]), 0.0),
            "log_probabilities": tf.reshape(found["log_probabilities"], [-1]),
        }
        if returned == 1:
            return outputs
        return {name: tf.reshape(output, [-1, returned]) for name, output in outputs.items()}

    def from_ids(self, inputs: Tensors) -> Tensors:
        """Return the class's outputs of `token_ids`."""
        given = dict(inputs)
        if "seed" in given:
            given["seeds"] = given.pop("seed")[:, None]
        return self.forward(given)
