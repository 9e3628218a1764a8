"""Layers whose element-wise results are recomputed in the backward pass keep no float32 tensors for it."""

import collections
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.fusion import recomputing
from bert_tf.layers.attention import attention_allowed
from bert_tf.layers.transformer_block import TransformerBlock


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_recomputed_results_give_the_same_output_and_gradients(policy):
    block = TransformerBlock(8, 2, 16, dropout_rate=0.2, attention_dropout_rate=0.2, dtype=policy)
    block.build()
    weights = [weight.value for weight in block.trainable_weights]
    x = tf.random.stateless_normal((3, 5, 8), (0, 1))
    allowed = attention_allowed(tf.ones((3, 5), tf.int32))
    results, counts = [], []
    for enabled in (False, True):

        @tf.function
        def gradients(x, enabled=enabled):
            with recomputing(enabled), tf.GradientTape() as tape:
                tape.watch(x)
                output = tf.cast(block(x, allowed, training=True, seed=7), tf.float32)
                loss = tf.reduce_sum(output * x)
            return [output, *tape.gradient(loss, [x, *weights])]

        results.append(gradients(x))
        graph = gradients.get_concrete_function(x).graph
        counts.append(collections.Counter(operation.type for operation in graph.get_operations()))
    for kept, again in zip(*results, strict=True):
        np.testing.assert_allclose(again, kept, atol=1e-6 * np.abs(kept).max())
    plain, recomputed = counts
    assert (plain["Erfc"], recomputed["Erfc"]) == (1, 2)  # the activation
    assert (plain["Rsqrt"], recomputed["Rsqrt"]) == (2, 4)  # the normalisations
    assert (plain["Softmax"], recomputed["Softmax"]) == (1, 1)


_KEPT = """
    import json
    import jax
    from keras import ops
    from bert_tf.fusion import recomputing
    from bert_tf.layers.attention import attention_allowed
    from bert_tf.layers.transformer_block import TransformerBlock

    block = TransformerBlock(16, 2, 64, dropout_rate=0.1, attention_dropout_rate=0.1, dtype="mixed_bfloat16")
    block.build()
    weights = [weight.value for weight in block.trainable_variables]
    fixed = [weight.value for weight in block.non_trainable_variables]
    x, allowed = ops.ones((4, 12, 16), "bfloat16"), attention_allowed(ops.ones((4, 12), "int32"))

    def kept(enabled):
        def backward(x, weights):
            def output(x, weights):
                return block.stateless_call(weights, fixed, x, allowed, training=True, seed=7)[0]

            with recomputing(enabled):
                return jax.vjp(output, x, weights)[1]

        tensors = jax.tree.leaves(jax.eval_shape(backward, x, weights))
        return [[tensor.dtype.name, tensor.shape[-1]] for tensor in tensors if tensor.shape[:2] == x.shape[:2]]

    print(json.dumps([kept(False), kept(True)]))
"""


@pytest.mark.long  # JAX and Keras start
def test_only_tensors_in_the_compute_dtype_are_kept():
    pytest.importorskip("jax")
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", textwrap.dedent(_KEPT)]
    result = subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    plain, recomputed = json.loads(result.stdout)
    assert "float32" in {dtype for dtype, _ in plain}
    assert {dtype for dtype, _ in recomputed} == {"bfloat16"}
    assert [size for _, size in recomputed].count(64) == 1  # the intermediate product, and not its activation
