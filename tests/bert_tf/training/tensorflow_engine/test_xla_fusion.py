"""Fused operations that XLA compiles each for itself compute what the plain step computes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_model import SMALL, numpy_weights, random_pretraining_batch

from bert_tf.configs import OptimizerConfig, TrainConfig
from bert_tf.fusion import fused, using_fusion_compiler
from bert_tf.layers.base import biased_activation, column_sums
from bert_tf.layers.dropout import dropped_sum_normalized
from bert_tf.layers.embeddings import sums_by_id
from bert_tf.models.pretrainer import BertPretrainer
from bert_tf.objectives.objective import pretraining_objective
from bert_tf.training.tensorflow_engine.distribution import Distribution
from bert_tf.training.tensorflow_engine.state import TrainState
from bert_tf.training.tensorflow_engine.step import TrainStep
from bert_tf.training.tensorflow_engine.xla_fusion import KERNELS, XlaFusion

_ROWS = tf.random.stateless_normal((6, 8), (0, 1))
_COLUMN = tf.random.stateless_normal((8,), (0, 2))


@pytest.mark.parametrize(
    ("function", "tensors", "constants"),
    [
        (biased_activation, (_ROWS, _COLUMN), {"hidden_act": "gelu"}),
        (
            dropped_sum_normalized,
            (_ROWS, _COLUMN, -_ROWS[::-1], 1 + _COLUMN, _COLUMN, tf.constant(7, tf.uint32)),
            {"rate": 0.5, "epsilon": 1e-12},
        ),
    ],
)
def test_values_and_gradients_are_those_of_the_function(function, tensors, constants):
    floats = [tensor for tensor in tensors if tensor.dtype.is_floating]
    found = []
    for compiler in (None, XlaFusion()):
        with using_fusion_compiler(compiler), tf.GradientTape() as tape:
            tape.watch(floats)
            output = fused(function, *tensors, **constants)
            loss = tf.reduce_sum(output * _ROWS)
        found.append([output, *tape.gradient(loss, floats)])
    for plain, compiled in zip(*found, strict=True):
        np.testing.assert_allclose(compiled, plain, atol=2e-5)


@pytest.mark.parametrize(
    ("function", "tensors", "constants"),
    [(column_sums, (_ROWS,), {}), (sums_by_id, (_ROWS, tf.constant([3, 0, 3, 3, 1, 0])), {"count": 5})],
)
def test_kernels_compute_the_same_as_their_fused_operations(function, tensors, constants):
    np.testing.assert_allclose(KERNELS[function](*tensors, **constants), function(*tensors, **constants), atol=1e-6)


def test_equal_fused_operations_share_their_programs():
    compiler = XlaFusion()
    for act in ("gelu", "gelu", "relu"):
        compiler.fused(biased_activation, _ROWS, _COLUMN, hidden_act=act)
    assert len(compiler._programs) == 2


@pytest.mark.long
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_step_is_that_of_no_compilation(precision):
    config = SMALL.replace(num_layers=1, dropout_rate=0.2, attention_dropout_rate=0.2)
    train = TrainConfig(num_steps=50, batch_size=4, learning_rate=1e-3, warmup_steps=0, precision=precision)
    found = []
    for changes in ({"jit_compile": False}, {"xla_scope": "fused"}, {"xla_scope": "fused"}):
        keras.utils.set_random_seed(0)
        policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
        state = TrainState(BertPretrainer(config, dtype=policy), precision)
        settings = {"train": train.replace(**changes), "optimizer": OptimizerConfig()}
        step = tf.function(TrainStep(state, pretraining_objective(), **settings, distribution=Distribution()))
        for number in range(3):
            step({name: tf.constant(array) for name, array in random_pretraining_batch(seed=number).items()})
        found.append(numpy_weights(state.model))
    plain, compiled, again = found
    for name, value in plain.items():
        np.testing.assert_allclose(compiled[name], value, atol={"float32": 5e-5, "bfloat16": 3e-3}[precision])
        assert np.array_equal(compiled[name], again[name]), name
