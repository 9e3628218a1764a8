"""BERT for texts that have any number of labels.

Shapes: B batch, C labels.
"""

import keras

from bert_tf.features import Tensor
from bert_tf.models.classifier import BertClassifier


@keras.saving.register_keras_serializable(package="bert_tf")
class BertMultiLabelClassifier(BertClassifier):
    """A classifier that decides on each label independently, instead of choosing one of them.

    >>> from bert_tf.configs import BertConfig
    >>> config = BertConfig(vocab_size=30, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16)
    >>> BertMultiLabelClassifier(config, num_classes=3)({"input_ids": keras.ops.ones((2, 6), "int32")}).shape
    TensorShape([2, 3])
    """

    @staticmethod
    def probabilities(logits: Tensor) -> Tensor:
        """Return the probability of each label on its own, float32 [B, C]."""
        return keras.ops.sigmoid(logits)
