"""BERT for texts that have any number of labels.

Shapes: B batch, C labels.
"""

from typing import Any

import keras

from bert_tf.models.classifier import BertClassifier


@keras.saving.register_keras_serializable(package="bert_tf")
class BertMultiLabelClassifier(BertClassifier):
    """The classifier, with an independent yes or no for each label instead of one choice among them.

    >>> from bert_tf.configs import BertConfig
    >>> config = BertConfig(vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16)
    >>> BertMultiLabelClassifier(config, num_classes=3)({"input_ids": keras.ops.ones((2, 6), "int32")}).shape
    TensorShape([2, 3])
    """

    @staticmethod
    def probabilities(logits: Any) -> Any:
        """Of each label on its own, float32 [B, C]."""
        return keras.ops.sigmoid(logits)
