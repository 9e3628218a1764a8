"""Every layer is made again from its configuration, and a `.keras` file restores it with the same outputs."""

import importlib
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import bert_tf.layers
from bert_tf.layers.attention import SelfAttention, attention_allowed
from bert_tf.layers.base import BertLayer
from bert_tf.layers.dropout import Dropout
from bert_tf.layers.embeddings import BertEmbeddings
from bert_tf.layers.heads import ClassificationHead, MaskedLMHead, Pooler
from bert_tf.layers.transformer_block import TransformerBlock

_IDS = np.array([[1, 4, 2, 0, 3]], "int32")
_X = np.random.default_rng(0).standard_normal((1, 5, 8)).astype("float32")
_ALLOWED = np.asarray(attention_allowed(np.array([[1, 1, 1, 2, 2]], "int32")))

# A layer whose arguments all differ from their defaults, its inputs, and the shape of its output.
LAYERS = {
    "dropout": (lambda: Dropout(0.3), [_X], (1, 5, 8)),
    "embeddings": (
        lambda: BertEmbeddings(
            vocab_size=6,
            hidden_size=8,
            max_position_embeddings=7,
            type_vocab_size=5,
            dropout_rate=0.1,
            layer_norm_epsilon=1e-3,
            initializer_range=0.5,
            position_embedding="sinusoidal",
            position_initializer="sinusoidal",
            embedding_size=6,
        ),
        [_IDS, _IDS, _IDS],
        (1, 5, 8),
    ),
    "attention": (
        lambda: SelfAttention(hidden_size=8, num_heads=2, dropout_rate=0.1, initializer_range=0.5),
        [_X, _ALLOWED],
        (1, 5, 8),
    ),
    "block": (
        lambda: TransformerBlock(
            hidden_size=8,
            num_heads=2,
            intermediate_size=12,
            hidden_act="gelu_new",
            dropout_rate=0.1,
            attention_dropout_rate=0.2,
            layer_norm_epsilon=1e-3,
            initializer_range=0.5,
            recompute=True,
        ),
        [_X, _ALLOWED],
        (1, 5, 8),
    ),
    "pooler": (lambda: Pooler(8, initializer_range=0.5), [_X[:, 0]], (1, 8)),
    "masked_lm": (
        lambda: MaskedLMHead(
            vocab_size=9,
            hidden_size=8,
            hidden_act="relu",
            layer_norm_epsilon=1e-3,
            initializer_range=0.5,
            embedding_size=6,
        ),
        [_X, _IDS[:, :2], np.random.default_rng(1).standard_normal((9, 6)).astype("float32")],
        (1, 2, 9),
    ),
    "classification": (
        lambda: ClassificationHead(3, hidden_size=8, dropout_rate=0.1, initializer_range=0.5),
        [_X],
        (1, 5, 3),
    ),
}


@pytest.fixture(params=LAYERS)
def case(request):
    make, inputs, shape = LAYERS[request.param]
    return make(), inputs, shape


def test_a_keras_file_restores_a_layer_with_its_shapes(case, tmp_path):
    layer, inputs, shape = case
    # The masked-LM head's table has no batch axis, so that shapes are given whole.
    symbols = [keras.Input(batch_shape=x.shape, dtype=str(x.dtype)) for x in inputs]
    model = keras.Model(symbols, layer(*symbols))
    assert model.output.shape == shape
    outputs = model(inputs)
    assert outputs.shape == shape
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.models.load_model(path)
    assert np.array_equal(loaded(inputs), outputs)
    assert loaded.layers[-1].get_config() == layer.get_config()


def test_cloned_models_have_weights_of_their_own(case):
    layer, inputs, _ = case
    symbols = [keras.Input(batch_shape=x.shape, dtype=str(x.dtype)) for x in inputs]
    model = keras.Model(symbols, layer(*symbols))
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert np.array_equal(clone(inputs), model(inputs))
    for weight in clone.trainable_weights:
        weight.assign(weight + 1.0)
    if clone.trainable_weights:
        assert not np.array_equal(clone(inputs), model(inputs))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_layer_is_made_again_from_its_configuration(case, policy):
    layer = type(case[0]).from_config(case[0].get_config() | {"dtype": policy})
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.compute_dtype == {"float32": "float32", "mixed_bfloat16": "bfloat16"}[policy]


def test_gradients_reach_every_weight(case):
    layer, inputs, _ = case
    layer(*inputs)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(*inputs), tf.float32) ** 2 * tf.random.stateless_uniform((), (1, 2)))
    gradients = tape.gradient(loss, [weight.value for weight in layer.trainable_weights])
    assert all(gradient is not None for gradient in gradients)


def test_every_registered_layer_is_tested():
    classes = {
        value
        for found in pkgutil.iter_modules(bert_tf.layers.__path__)
        for value in vars(importlib.import_module(f"bert_tf.layers.{found.name}")).values()
        if isinstance(value, type) and issubclass(value, keras.layers.Layer) and value is not BertLayer
    }
    assert classes == {type(make()) for make, _, _ in LAYERS.values()}
