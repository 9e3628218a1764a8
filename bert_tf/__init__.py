"""BERT for Keras 3 and TensorFlow: the library a notebook imports.

>>> import bert_tf
>>> predictor = bert_tf.load("runs/quickstart/classifier")  # doctest: +SKIP
>>> encoder = bert_tf.load_encoder("bert-base-uncased")  # doctest: +SKIP

The import itself loads neither Keras nor a backend: a public name is imported when it is first used. Files that Keras
saved can be loaded at once, since the classes of layers and models are registered with Keras as soon as it is imported.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from bert_tf.utils.import_hook import after_import

if TYPE_CHECKING:
    from bert_tf.configs import BertConfig
    from bert_tf.conversion.convert import save_pretrained
    from bert_tf.conversion.hub_card import ModelCard
    from bert_tf.conversion.loading import load_encoder, load_pretrained, load_pretrainer
    from bert_tf.conversion.publishing import push_to_hub
    from bert_tf.models.classifier import BertClassifier
    from bert_tf.models.dual_encoder import BertDualEncoder
    from bert_tf.models.encoder import BertEncoder
    from bert_tf.models.multi_label_classifier import BertMultiLabelClassifier
    from bert_tf.models.multiple_choice import BertMultipleChoice
    from bert_tf.models.pretrainer import BertPretrainer
    from bert_tf.models.question_answerer import BertQuestionAnswerer
    from bert_tf.models.regressor import BertRegressor
    from bert_tf.models.reranker import BertReranker
    from bert_tf.models.seq2seq_model import BertSeq2Seq
    from bert_tf.models.token_classifier import BertTokenClassifier
    from bert_tf.preprocessing.preprocessor import Preprocessor
    from bert_tf.server.client import Client
    from bert_tf.serving.predictor import load
    from bert_tf.tokenization.wordpiece import WordPieceTokenizer
    from experiments.python.finetune import finetune
    from experiments.python.pretrain import pretrain

__all__ = [
    "BertClassifier",
    "BertConfig",
    "BertDualEncoder",
    "BertEncoder",
    "BertMultiLabelClassifier",
    "BertMultipleChoice",
    "BertPretrainer",
    "BertQuestionAnswerer",
    "BertRegressor",
    "BertReranker",
    "BertSeq2Seq",
    "BertTokenClassifier",
    "Client",
    "ModelCard",
    "Preprocessor",
    "WordPieceTokenizer",
    "finetune",
    "load",
    "load_encoder",
    "load_pretrained",
    "load_pretrainer",
    "pretrain",
    "push_to_hub",
    "save_pretrained",
]

# The trainings read data sets and experiments, which lie above this package: they are found by name when they are used,
# and nothing in this package imports them.
_HOMES = {
    "BertClassifier": "bert_tf.models.classifier",
    "BertConfig": "bert_tf.configs",
    "BertDualEncoder": "bert_tf.models.dual_encoder",
    "BertEncoder": "bert_tf.models.encoder",
    "BertMultiLabelClassifier": "bert_tf.models.multi_label_classifier",
    "BertMultipleChoice": "bert_tf.models.multiple_choice",
    "BertPretrainer": "bert_tf.models.pretrainer",
    "BertQuestionAnswerer": "bert_tf.models.question_answerer",
    "BertRegressor": "bert_tf.models.regressor",
    "BertReranker": "bert_tf.models.reranker",
    "BertSeq2Seq": "bert_tf.models.seq2seq_model",
    "BertTokenClassifier": "bert_tf.models.token_classifier",
    "Client": "bert_tf.server.client",
    "ModelCard": "bert_tf.conversion.hub_card",
    "Preprocessor": "bert_tf.preprocessing.preprocessor",
    "WordPieceTokenizer": "bert_tf.tokenization.wordpiece",
    "finetune": "experiments.python.finetune",
    "load": "bert_tf.serving.predictor",
    "load_encoder": "bert_tf.conversion.loading",
    "load_pretrained": "bert_tf.conversion.loading",
    "load_pretrainer": "bert_tf.conversion.loading",
    "pretrain": "experiments.python.pretrain",
    "push_to_hub": "bert_tf.conversion.publishing",
    "save_pretrained": "bert_tf.conversion.convert",
}


# The modules whose classes Keras must know before it loads a file that contains them.
_KERAS_MODULES = (
    "bert_tf.layers.attention",
    "bert_tf.layers.dropout",
    "bert_tf.layers.embeddings",
    "bert_tf.layers.heads",
    "bert_tf.layers.initializers",
    "bert_tf.layers.transformer_block",
    "bert_tf.models.classifier",
    "bert_tf.models.dual_encoder",
    "bert_tf.models.encoder",
    "bert_tf.models.multi_label_classifier",
    "bert_tf.models.multi_task",
    "bert_tf.models.multiple_choice",
    "bert_tf.models.pretrainer",
    "bert_tf.models.question_answerer",
    "bert_tf.models.regressor",
    "bert_tf.models.reranker",
    "bert_tf.models.seq2seq_model",
    "bert_tf.models.token_classifier",
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bert_tf' has no attribute {name!r}")
    try:
        if _HOMES[name] in _KERAS_MODULES:
            importlib.import_module("keras")  # its import registers the classes, and must not meet one half imported
        home = importlib.import_module(_HOMES[name])
    except ModuleNotFoundError as error:
        package = _HOMES[name].partition(".")[0]
        if package == __name__ or not (error.name or "").startswith(package):
            raise
        found = getattr(sys.modules.get(package), "__file__", None)
        raise ImportError(
            f"bert_tf.{name} is in the package {package!r} that is installed with bert_tf; "
            + (f"another one hides it: {found}" if found else "it is missing")
        ) from None
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _register_classes() -> None:
    for module in _KERAS_MODULES:
        importlib.import_module(module)


after_import("keras", _register_classes)
