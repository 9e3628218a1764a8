"""BERT for Keras 3 and TensorFlow: the library a notebook imports.

>>> import bert_tf
>>> predictor = bert_tf.load("runs/quickstart/classifier")  # doctest: +SKIP
"""

from typing import Any

__all__ = ["BertClassifier", "BertConfig", "BertEncoder", "BertPretrainer", "WordPieceTokenizer", "load"]

_HOMES = {
    "BertClassifier": "bert_tf.models.classifier",
    "BertConfig": "bert_tf.configs",
    "BertEncoder": "bert_tf.models.encoder",
    "BertPretrainer": "bert_tf.models.pretrainer",
    "WordPieceTokenizer": "bert_tf.tokenization",
    "load": "bert_tf.serving.predictor",
}


def __getattr__(name: str) -> Any:
    # On first use: the data pipelines import this package for its configurations, without waiting for TensorFlow.
    if name not in _HOMES:
        raise AttributeError(f"module 'bert_tf' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
