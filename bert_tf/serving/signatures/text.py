"""The signatures of models with one answer for each text or pair: a class, labels or a number.

Axes: B texts, C classes.
"""

from typing import Any, ClassVar

import tensorflow as tf

from bert_tf.runs.descriptions import ModelDescription
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.signatures.base import Signatures
from bert_tf.serving.static_shapes import Tensors
from bert_tf.tasks.model_kinds import ModelKind
from bert_tf.tasks.texts import Classification, MultiLabel, Regression, head_length
from bert_tf.tokenization.wordpiece import WordPieceTokenizer


class _TextSignatures(Signatures):
    """The signatures of a model with one answer for each text.

    A model that was trained on pairs takes `text_pair` too. If the second text of a pair is empty, the row holds the
    first text alone.
    """

    def __init__(
        self, model: Any, description: ModelDescription, tokenizer: WordPieceTokenizer, *, options: ExportOptions
    ) -> None:
        super().__init__(model, description, tokenizer, options=options)
        if self.task.text_pair_column is not None:
            self.text_inputs = ("text", "text_pair")

    def from_texts(self, text: tf.Tensor, text_pair: tf.Tensor | None = None) -> Tensors:
        """Return the class's outputs of `serving_default`."""
        tokenize = self.graph_tokenizer.tokenize
        ids = tokenize(text)
        if self.task.long_texts == "head_tail":
            ids = _head_and_tail(ids, self.max_seq_length - 2)
        return self.from_ids(self.rows(ids, None if text_pair is None else tokenize(text_pair)))


def _head_and_tail(ids: tf.RaggedTensor, room: int) -> tf.RaggedTensor:
    """Return the head and the tail of each text that has more than `room` tokens, [B, None]."""
    head = head_length(room)
    lengths = ids.row_lengths()
    indices = tf.ragged.range(lengths)
    own_lengths = tf.repeat(lengths, lengths)
    is_kept = (indices.flat_values < head) | (indices.flat_values >= own_lengths - (room - head))
    return tf.ragged.boolean_mask(ids, indices.with_flat_values(is_kept))


class ClassifierSignatures(_TextSignatures):
    """The signatures of a classifier.

    The outputs are `labels` string [B], the likeliest, and `probabilities` and `logits` float32 [B, C], in the order of
    `labels.txt`. Classify requests get `classes` string [B, C] and their `scores` float32 [B, C].
    """

    model_kind: ClassVar[type[ModelKind]] = Classification

    examples_method = "classify"

    def __init__(
        self, model: Any, description: ModelDescription, tokenizer: WordPieceTokenizer, *, options: ExportOptions
    ) -> None:
        super().__init__(model, description, tokenizer, options=options)
        self.classes = tf.constant(description.labels)
        self.probabilities = model.probabilities

    def from_ids(self, inputs: Tensors) -> Tensors:
        """Return the class's outputs of `token_ids`."""
        logits = self.forward(inputs)
        probabilities = self.probabilities(logits)
        return {"labels": self.labels_of(probabilities), "probabilities": probabilities, "logits": logits}

    def labels_of(self, probabilities: tf.Tensor) -> tf.Tensor:
        """Return the likeliest label of each text, string [B], for probabilities float32 [B, C]."""
        return tf.gather(self.classes, tf.argmax(probabilities, axis=-1))

    def for_examples(self, outputs: Tensors) -> Tensors:
        """Return the class's outputs of `examples`."""
        scores = outputs["probabilities"]
        return {"classes": tf.broadcast_to(self.classes, tf.shape(scores)), "scores": scores}


class MultiLabelClassifierSignatures(ClassifierSignatures):
    """The signatures of a multi-label classifier.

    The outputs are `labels` string [B, C], those whose probability reaches the threshold, in the order of `labels.txt`
    and padded with ""; their number `num_labels` int32 [B]; and `probabilities` and `logits` float32 [B, C], which are
    independent for each label.
    """

    model_kind = MultiLabel

    def from_ids(self, inputs: Tensors) -> Tensors:
        """Return the class's outputs of `token_ids`."""
        outputs = super().from_ids(inputs)
        chosen = outputs["probabilities"] >= self.task.threshold
        return outputs | {"num_labels": tf.reduce_sum(tf.cast(chosen, tf.int32), axis=-1)}

    def labels_of(self, probabilities: tf.Tensor) -> tf.Tensor:
        """Return the labels whose probability, float32 [B, C], reaches the threshold, string [B, C]."""
        chosen = probabilities >= self.task.threshold
        ragged = tf.ragged.boolean_mask(tf.broadcast_to(self.classes, tf.shape(probabilities)), chosen)
        return ragged.to_tensor("", shape=[None, self.classes.shape[0]])


class RegressorSignatures(_TextSignatures):
    """The signatures of a regression model. The output is `values`, float32 [B]; Regress requests get `outputs`."""

    model_kind = Regression

    examples_method = "regress"

    def from_ids(self, inputs: Tensors) -> Tensors:
        """Return the class's outputs of `token_ids`."""
        return {"values": self.forward(inputs)}

    def for_examples(self, outputs: Tensors) -> Tensors:
        """Return the class's outputs of `examples`."""
        return {"outputs": outputs["values"]}
