"""The signatures of models for multiple choice.

Axes: B examples, C choices, R rows.
"""

from typing import Any, ClassVar

import tensorflow as tf

from bert_tf.serving.signatures.base import Signatures
from bert_tf.serving.static_shapes import Tensors
from bert_tf.tasks.model_kinds import ModelKind
from bert_tf.tasks.multiple_choice import MultipleChoice


class MultipleChoiceSignatures(Signatures):
    """The signatures of a model that chooses.

    The inputs are `context` and `question` string [B], the question "" for none, and `choices` string [B, C]. An
    example with fewer than C choices is filled up with "", which is no choice. The outputs are `indices` int32 [B] and
    `answers` string [B], the likeliest choices, and `probabilities` float32 [B, C], 0 for "". In a `tf.train.Example`,
    `choices` is a list, and `question` may be left out. `token_ids` returns `logits`, float32 [R, 1], of rows with one
    choice each.
    """

    model_kind: ClassVar[type[ModelKind]] = MultipleChoice

    text_inputs = ("context", "question", "choices")
    list_inputs = ("choices",)
    optional_inputs = ("question",)

    def from_texts(self, context: tf.Tensor, question: tf.Tensor, choices: tf.Tensor) -> Tensors:
        """Return the class's outputs of `serving_default`."""
        shape = tf.shape(choices)
        is_choice = choices != ""
        examples = tf.where(is_choice)[:, 0]  # [R], the example of each row
        own = tf.gather(question, examples)
        texts = tf.boolean_mask(choices, is_choice)
        second = tf.where(own == "", texts, tf.strings.join([own, texts], " "))
        tokenize = self.graph_tokenizer.tokenize
        rows = self.rows(tf.gather(tokenize(context), examples), tokenize(second))
        logits = self.from_ids(rows)["logits"][:, 0]
        lowest = tf.fill(shape, logits.dtype.min)
        probabilities = tf.nn.softmax(tf.tensor_scatter_nd_update(lowest, tf.where(is_choice), logits))
        probabilities = tf.where(is_choice, probabilities, 0.0)
        # An example without choices has the answer "".
        padded = tf.pad(choices, [[0, 0], [0, 1]])
        indices = tf.argmax(tf.pad(probabilities, [[0, 0], [0, 1]]), axis=1, output_type=tf.int32)
        return {
            "indices": indices,
            "answers": tf.gather(padded, indices, batch_dims=1),
            "probabilities": probabilities,
        }

    def from_ids(self, inputs: Tensors) -> Tensors:
        """Return the class's outputs of `token_ids`."""
        logits: Any = self.forward(inputs)
        return {"logits": logits}
