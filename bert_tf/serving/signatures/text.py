"""Exports that answer once a text, or once a pair: a class, labels, a number.

Axes: B texts, C classes.
"""

from typing import Any

import tensorflow as tf

from bert_tf.serving.signatures.base import Signatures
from bert_tf.serving.static_shapes import Tensors


class _TextSignatures(Signatures):
    """One answer a text.

    Whether it takes `text` alone or `text_pair` too is as in training. A pair's second text may be empty: the row then
    is that of the first alone.
    """

    def __init__(self, model: Any, *args: Any) -> None:
        super().__init__(model, *args)
        if self.task.text_pair_column is not None:
            self.text_inputs = ("text", "text_pair")
            self.optional_inputs = ("text_pair",)

    def from_texts(self, text: tf.Tensor, text_pair: tf.Tensor | None = None) -> Tensors:
        """The class's outputs of `serving_default`."""
        tokenize = self.graph_tokenizer.tokenize
        return self.from_ids(self.rows(tokenize(text), None if text_pair is None else tokenize(text_pair)))


class ClassifierSignatures(_TextSignatures):
    """`labels` string [B], the likeliest; `probabilities` and `logits` float32 [B, C], in the order of `labels.txt`.

    For Classify requests: `classes` string [B, C] and their `scores` float32 [B, C].
    """

    examples_method = "classify"

    def __init__(self, model: Any, description: Any, *args: Any) -> None:
        super().__init__(model, description, *args)
        self.classes = tf.constant(description.labels)
        self.probabilities = model.probabilities

    def from_ids(self, inputs: Tensors) -> Tensors:
        """The class's outputs of `token_ids`."""
        logits = self.forward(inputs)
        probabilities = self.probabilities(logits)
        return {"labels": self.labels_of(probabilities), "probabilities": probabilities, "logits": logits}

    def labels_of(self, probabilities: tf.Tensor) -> tf.Tensor:
        """The likeliest, string [B], from float32 [B, C]."""
        return tf.gather(self.classes, tf.argmax(probabilities, axis=-1))

    def for_examples(self, outputs: Tensors) -> Tensors:
        """The class's outputs for the method of its examples."""
        scores = outputs["probabilities"]
        return {"classes": tf.broadcast_to(self.classes, tf.shape(scores)), "scores": scores}


class MultiLabelClassifierSignatures(ClassifierSignatures):
    """`labels` string [B, C]: those from the threshold on, in the order of `labels.txt`, then "" for the others.

    `num_labels` int32 [B] tells how many there are; `probabilities` float32 [B, C] are each label's own; `logits`.
    """

    def from_ids(self, inputs: Tensors) -> Tensors:
        """The class's outputs of `token_ids`."""
        outputs = super().from_ids(inputs)
        chosen = outputs["probabilities"] >= self.task.threshold
        return outputs | {"num_labels": tf.reduce_sum(tf.cast(chosen, tf.int32), axis=-1)}

    def labels_of(self, probabilities: tf.Tensor) -> tf.Tensor:
        """Those from the threshold on, string [B, C], from float32 [B, C]."""
        chosen = probabilities >= self.task.threshold
        ragged = tf.ragged.boolean_mask(tf.broadcast_to(self.classes, tf.shape(probabilities)), chosen)
        return ragged.to_tensor("", shape=[None, self.classes.shape[0]])


class RegressorSignatures(_TextSignatures):
    """`values` float32 [B]; for Regress requests, `outputs`."""

    examples_method = "regress"

    def from_ids(self, inputs: Tensors) -> Tensors:
        """The class's outputs of `token_ids`."""
        return {"values": self.forward(inputs)}

    def for_examples(self, outputs: Tensors) -> Tensors:
        """The class's outputs for the method of its examples."""
        return {"outputs": outputs["values"]}
