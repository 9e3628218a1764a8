"""The signatures of models with one answer for each text or pair: a class, labels or a number.

Axes: B texts, C classes.
"""

import abc
from typing import Any, ClassVar

import tensorflow as tf

from bert_tf.preprocessing.graph_rows import head_and_tail
from bert_tf.runs.descriptions import ModelDescription
from bert_tf.serving.options import ExportOptions
from bert_tf.serving.signatures.base import Signatures
from bert_tf.serving.static_shapes import Tensors
from bert_tf.tasks.long_texts import default_stride
from bert_tf.tasks.model_kinds import ModelKind
from bert_tf.tasks.texts import Classification, MultiLabel, Regression
from bert_tf.tokenization.wordpiece import WordPieceTokenizer


class _TextSignatures(Signatures):
    """The signatures of a model with one answer for each text.

    A model that was trained on pairs takes `text_pair` too. If the second text of a pair is empty, the row holds the
    first text alone. If long texts become windows, the answer to a text is pooled as in training, and comes without
    `logits`.
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
        room = self.max_seq_length - 2
        if self.task.long_texts == "windows":
            windows, texts = _windows(ids, room, self.task.window_stride or default_stride(room))
            return self.from_windows(self.from_ids(self.rows(windows)), texts)
        if self.task.long_texts == "head_tail":
            ids = head_and_tail(ids, room)
        return self.from_ids(self.rows(ids, None if text_pair is None else tokenize(text_pair)))

    @abc.abstractmethod
    def from_windows(self, outputs: Tensors, texts: tf.Tensor) -> Tensors:
        """Return the outputs of texts, made from the outputs of their windows.

        Args:
            outputs: the outputs of `from_ids` for R windows.
            texts: int64 [R], the index of each window's text, ascending.
        """

    def pooled(self, values: tf.Tensor, texts: tf.Tensor) -> tf.Tensor:
        """Return the values of texts, [B, ...], from those of their windows, [R, ...], by the task's pooling."""
        pool = tf.math.segment_max if self.task.window_pooling == "max" else tf.math.segment_mean
        return pool(values, texts)  # every text has a window


def _windows(ids: tf.RaggedTensor, room: int, stride: int) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Return the windows over texts, [R, None], as `tasks.long_texts.windows_of` makes them, and their texts, [R]."""
    lengths = ids.row_lengths()
    more = tf.maximum(lengths - room, 0)
    numbers = tf.ragged.range(1 + (more + stride - 1) // stride)  # [B, windows]
    texts = numbers.value_rowids()
    starts = tf.minimum(numbers.flat_values * stride, tf.gather(more, texts))  # the last window ends with the text
    first = tf.gather(ids.row_starts(), texts) + starts
    tokens = tf.ragged.range(first, first + tf.minimum(tf.gather(lengths, texts), room))
    return tokens.with_values(tf.gather(ids.flat_values, tokens.flat_values)), texts


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
        return self.from_probabilities(self.probabilities(logits)) | {"logits": logits}

    def from_windows(self, outputs: Tensors, texts: tf.Tensor) -> Tensors:
        """Return the outputs of texts, made from those of their windows."""
        probabilities = self.pooled(outputs["probabilities"], texts)
        return self.from_probabilities(self.distributions(probabilities))

    def distributions(self, probabilities: tf.Tensor) -> tf.Tensor:
        """Return pooled probabilities, float32 [B, C], so that those of a text have the sum 1."""
        return probabilities / tf.reduce_sum(probabilities, axis=-1, keepdims=True)

    def from_probabilities(self, probabilities: tf.Tensor) -> Tensors:
        """Return the class's outputs, without logits, for probabilities float32 [B, C]."""
        return {"labels": self.labels_of(probabilities), "probabilities": probabilities}

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

    def from_probabilities(self, probabilities: tf.Tensor) -> Tensors:
        """Return the class's outputs, without logits, for probabilities float32 [B, C]."""
        chosen = probabilities >= self.task.threshold
        number = tf.reduce_sum(tf.cast(chosen, tf.int32), axis=-1)
        return super().from_probabilities(probabilities) | {"num_labels": number}

    def distributions(self, probabilities: tf.Tensor) -> tf.Tensor:
        """Return pooled probabilities as they are, because those of labels are independent."""
        return probabilities

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

    def from_windows(self, outputs: Tensors, texts: tf.Tensor) -> Tensors:
        """Return the outputs of texts, made from those of their windows."""
        return {"values": self.pooled(outputs["values"], texts)}

    def for_examples(self, outputs: Tensors) -> Tensors:
        """Return the class's outputs of `examples`."""
        return {"outputs": outputs["values"]}
