"""The choice of Keras's backend by `--engine`, in this process, whose Keras computes with TensorFlow."""

import importlib.util
import os
import sys

import pytest

from bert_tf.utils.keras_backend import VARIABLE, choose_backend


def test_the_environment_must_agree(monkeypatch):
    monkeypatch.setenv(VARIABLE, "tensorflow")
    choose_backend("tensorflow")
    with pytest.raises(ValueError, match=r"`engine` must be .*KERAS_BACKEND=tensorflow; unset.*Received: 'jax'"):
        choose_backend("jax")


def test_keras_must_not_have_started_with_another(monkeypatch):
    import keras

    assert keras.backend.backend() == "tensorflow"
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ValueError, match=r"before Keras is imported, which computes with tensorflow.*Received: 'jax'"):
        choose_backend("jax")


def test_the_choice_goes_before_a_file(monkeypatch):
    """Keras prefers the variable to its `keras.json`."""
    monkeypatch.delenv(VARIABLE)
    monkeypatch.delitem(sys.modules, "keras")
    choose_backend("jax")
    assert os.environ[VARIABLE] == "jax"


def test_an_engine_that_is_not_installed(monkeypatch):
    monkeypatch.delenv(VARIABLE)
    monkeypatch.delitem(sys.modules, "keras")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "jax" else find(name, *rest))
    with pytest.raises(ValueError, match=r"pip install 'bert_tf\[jax\]'"):
        choose_backend("jax")


def test_an_unknown_engine():
    with pytest.raises(ValueError, match=r"`engine` must be one of tensorflow, jax\. Received: 'torch'"):
        choose_backend("torch")
