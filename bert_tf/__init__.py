"""BERT for Keras 3 and TensorFlow: the library a notebook imports.

>>> import bert_tf
>>> predictor = bert_tf.load("runs/quickstart/classifier")  # doctest: +SKIP
>>> encoder = bert_tf.load_encoder("bert-base-uncased")  # doctest: +SKIP
"""

from typing import Any

__all__ = [
    "BertClassifier",
    "BertConfig",
    "BertDualEncoder",
    "BertEncoder",
    "BertMultiLabelClassifier",
    "BertPretrainer",
    "BertQuestionAnswerer",
    "BertRegressor",
    "BertTokenClassifier",
    "WordPieceTokenizer",
    "load",
    "load_encoder",
    "load_pretrained",
    "load_pretrainer",
    "save_pretrained",
]

_HOMES = {
    "BertClassifier": "bert_tf.models.classifier",
    "BertConfig": "bert_tf.configs",
    "BertDualEncoder": "bert_tf.models.dual_encoder",
    "BertEncoder": "bert_tf.models.encoder",
    "BertMultiLabelClassifier": "bert_tf.models.multi_label_classifier",
    "BertPretrainer": "bert_tf.models.pretrainer",
    "BertQuestionAnswerer": "bert_tf.models.question_answerer",
    "BertRegressor": "bert_tf.models.regressor",
    "BertTokenClassifier": "bert_tf.models.token_classifier",
    "WordPieceTokenizer": "bert_tf.tokenization.wordpiece",
    "load": "bert_tf.serving.predictor",
    "load_encoder": "bert_tf.conversion.loading",
    "load_pretrained": "bert_tf.conversion.loading",
    "load_pretrainer": "bert_tf.conversion.loading",
    "save_pretrained": "bert_tf.conversion.convert",
}


def __getattr__(name: str) -> Any:
    # On first use: the data pipelines import this package for its configurations, without waiting for TensorFlow.
    if name not in _HOMES:
        raise AttributeError(f"module 'bert_tf' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
