"""The computation of attributions: gradients of a model's outputs, attention weights, and masked tokens.

Shapes: B rows, L length, D hidden, F values of all outputs of a row, K values that make the target, S steps, N heads.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from bert_tf.features import Batch, Tensor
from bert_tf.layers.attention import attention_allowed, attention_probabilities

MAX_STEPS = 512
LARGEST_GAP = 0.01
"""The share of the outputs' difference by which the attributions of integrated gradients may miss it."""


class Target(NamedTuple):
    """The output of one row that is explained: the sum of some of its values.

    Attributes:
        inputs: the row's inputs, int32 [1, L], with the inputs of the head.
        indices: the indices of the values among all values of the row's outputs (`flat_outputs`), int32 [K].
    """

    inputs: dict[str, np.ndarray]
    indices: np.ndarray


def flat_outputs(outputs: Any) -> Tensor:
    """Return all values of a model's outputs, float32 [B, F]; those of a dictionary in the order of its names."""
    tensors = [outputs[name] for name in sorted(outputs)] if isinstance(outputs, Mapping) else [outputs]
    rows = ops.shape(tensors[0])[0]
    return ops.concatenate([ops.reshape(ops.cast(tensor, "float32"), (rows, -1)) for tensor in tensors], axis=-1)


class Attributor:
    """The attributions of a Keras model's outputs to the tokens of its inputs.

    Gradients are those of the embedding layer's output (the sum of token, position and segment embeddings, normalised).

    Args:
        model: a model of `bert_tf.models` with an encoder and a head, in float32.
        batch_size: number of rows computed at a time.
    """

    def __init__(self, model: keras.Model, batch_size: int) -> None:
        self.model = model
        self.batch_size = batch_size
        self._gradients = _compiled(model, self._value_and_gradient)
        self._values = _compiled(model, self._value)
        self._embedded = _compiled(model, self._embeddings)
        self._attention = _compiled(model, self._attention_weights)

    def value(self, target: Target) -> float:
        """Return the target's value."""
        return float(np.asarray(self._values(target.inputs, target.indices))[0])

    def gradient_x_input(self, target: Target) -> np.ndarray:
        """Return the products of gradients and embeddings, summed over D, float64 [L]."""
        x = np.asarray(self._embedded(target.inputs))
        _, gradient = self._gradients(x, target.inputs, target.indices)
        return (np.asarray(gradient, np.float64)[0] * x[0]).sum(axis=-1)

    def integrated_gradients(
        self, target: Target, baseline_ids: np.ndarray, steps: int
    ) -> tuple[np.ndarray, float, float]:
        """Return the integrated gradients from a baseline (Sundararajan et al. 2017).

        The integral is computed by Gauss-Legendre quadrature, with twice as many steps until its sum differs from that
        of the outputs by at most 1 %, or there are 512.

        Args:
            target: the output that is explained.
            baseline_ids: the token ids of the baseline, int32 [1, L].
            steps: the number of steps to begin with.

        Returns:
            The attributions, float64 [L], the target's value at the baseline, and the gap: the share of the difference
            between the values by which the attributions' sum misses it.
        """
        x = np.asarray(self._embedded(target.inputs), np.float32)
        start = np.asarray(self._embedded({**target.inputs, "input_ids": baseline_ids}), np.float32)
        values, _ = self._gradients(np.concatenate([start, x]), _repeated(target.inputs, 2), target.indices)
        at_start, at_end = np.asarray(values, np.float64)
        while True:
            shares, weights = np.polynomial.legendre.leggauss(steps)
            total = np.zeros(x.shape[1:], np.float64)
            for first in range(0, steps, self.batch_size):
                some = ((shares[first : first + self.batch_size] + 1.0) / 2.0).astype(np.float32)
                path = start + some[:, None, None] * (x - start)  # [S, L, D]
                _, gradients = self._gradients(path, _repeated(target.inputs, len(some)), target.indices)
                total += np.tensordot(
                    weights[first : first + self.batch_size] / 2.0, np.asarray(gradients, np.float64), 1
                )
            attributions = (total * (x - start)[0]).sum(axis=-1)
            difference = at_end - at_start
            gap = abs(attributions.sum() - difference) / max(abs(difference), 1e-6)
            if gap <= LARGEST_GAP or steps >= MAX_STEPS:
                return attributions, float(at_start), float(gap)
            steps = min(2 * steps, MAX_STEPS)

    def occlusion(self, target: Target, mask_id: int, positions: np.ndarray) -> np.ndarray:
        """Return by how much the value falls when a token is replaced by `[MASK]`, float64 [L]; 0 elsewhere.

        Args:
            target: the output that is explained.
            mask_id: the id of `[MASK]`.
            positions: the positions to replace, one at a time, int [P].
        """
        found = np.zeros(target.inputs["input_ids"].shape[1], np.float64)
        whole = self.value(target)
        for first in range(0, len(positions), self.batch_size):
            some = positions[first : first + self.batch_size]
            inputs = _repeated(target.inputs, len(some))
            inputs["input_ids"][np.arange(len(some)), some] = mask_id
            found[some] = whole - np.asarray(self._values(inputs, target.indices), np.float64)
        return found

    def attention(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Return the attention probabilities of a row, float32 [layers, N, L, L]: queries, then keys."""
        return np.asarray(self._attention(inputs))[:, 0]

    def rollout(self, inputs: dict[str, np.ndarray], position: int) -> np.ndarray:
        """Return how far each token reaches a position of the last layer, float64 [L] (Abnar and Zuidema 2020).

        The mean over the heads, with half a residual connection, is multiplied over the layers.
        """
        found = None
        for layer in self.attention(inputs).mean(axis=1, dtype=np.float64):
            step = (layer + np.eye(len(layer))) / 2.0
            found = step if found is None else step @ found
        assert found is not None
        return found[position]

    def _embeddings(self, inputs: Batch) -> Tensor:
        return self.model.encoder.embeddings(inputs["input_ids"], inputs["segment_ids"], inputs["position_ids"])

    def _value(self, inputs: Batch, indices: Tensor) -> Tensor:
        return self._value_at(self._embeddings(inputs), inputs, indices)

    def _value_at(self, x: Tensor, inputs: Batch, indices: Tensor) -> Tensor:
        """Return the targets' values, float32 [B], of embedded tokens, [B, L, D]."""
        encoder = self.model.encoder
        allowed = attention_allowed(inputs["input_mask"])
        for block in encoder.blocks:
            x = block(x, allowed)
        encoded = {"sequence_output": x, "pooled_output": encoder.pooler(x[:, 0])}
        return ops.sum(ops.take(flat_outputs(self.model.outputs_of(encoded, inputs)), indices, axis=-1), axis=-1)

    def _value_and_gradient(self, x: Tensor, inputs: Batch, indices: Tensor) -> tuple[Tensor, Tensor]:
        return value_and_gradient(lambda embedded: self._value_at(embedded, inputs, indices), x)

    def _attention_weights(self, inputs: Batch) -> Tensor:
        x = self._embeddings(inputs)
        allowed = attention_allowed(inputs["input_mask"])
        found = []
        for block in self.model.encoder.blocks:
            query, key, _ = block.attention.heads(x)
            found.append(attention_probabilities(ops.matmul(query, ops.swapaxes(key, 2, 3)), allowed))
            x = block(x, allowed)
        return ops.stack(found)


def value_and_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Return function(x), [B], and the gradient of each row's value, with the shape of x, on Keras's backend.

    Raises:
        ValueError: the backend is neither TensorFlow nor JAX.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        x = tf.convert_to_tensor(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            values = function(x)
        return values, tape.gradient(values, x)
    if backend == "jax":
        import jax

        values, pull_back = jax.vjp(function, x)
        return values, pull_back(ops.ones_like(values))[0]
    raise ValueError(f"gradients need Keras's backend tensorflow or jax. Received: {backend}")


def _repeated(inputs: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """Return a row's inputs as `count` equal rows."""
    return {name: np.repeat(array, count, axis=0) for name, array in inputs.items()}


def _compiled(model: keras.Model, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a compiled function; TensorFlow traces it for few shapes, because lengths differ from text to text."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, autograph=False, reduce_retracing=True)
    from bert_tf.serving.compiled import compiled_function

    return compiled_function(model, function)
