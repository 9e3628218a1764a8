"""The examples in the docstrings of all modules run and print what they show."""

import doctest
import importlib
import pkgutil

import pytest

import bert_tf


def _modules():
    return [found.name for found in pkgutil.walk_packages(bert_tf.__path__, "bert_tf.") if not found.ispkg]


@pytest.mark.parametrize("name", _modules())
def test_examples(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


@pytest.mark.parametrize(
    "name",
    [
        "bert_tf.features",
        "bert_tf.configs.model",
        "bert_tf.layers.attention",
        "bert_tf.layers.base",
        "bert_tf.layers.dropout",
        "bert_tf.layers.embeddings",
        "bert_tf.layers.heads",
        "bert_tf.layers.transformer_block",
        "bert_tf.models.classifier",
        "bert_tf.models.encoder",
        "bert_tf.models.pretrainer",
        "bert_tf.optimization",
    ],
)
def test_examples_are_found(name):
    assert doctest.testmod(importlib.import_module(name)).attempted > 0
