"""A reference BERT in NumPy and float64, written from the paper and not from the model's code.

Weights are a dictionary of arrays with the names of `bert_tf.models.weights.named_weights`.
"""

import math
from typing import Any

import numpy as np

Weights = dict[str, np.ndarray]


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


def gelu_new(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def layer_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: float = 1e-12) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * gamma + beta


def softmax(x: np.ndarray) -> np.ndarray:
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def attention(x: np.ndarray, num_heads: int, weights: Weights) -> np.ndarray:
    """Return the attention output of one sequence without padding, [L, D]; each token reads all tokens."""
    length, hidden = x.shape
    size = hidden // num_heads
    fused = x @ weights["query_key_value/kernel"] + weights["query_key_value/bias"]  # [L, 3 D]
    query, key, value = (part.reshape(length, num_heads, size) for part in np.split(fused, 3, axis=-1))
    context = np.zeros((length, num_heads, size))
    for head in range(num_heads):
        scores = query[:, head] @ key[:, head].T / math.sqrt(size)
        context[:, head] = softmax(scores) @ value[:, head]
    return context.reshape(length, hidden) @ weights["output_dense/kernel"] + weights["output_dense/bias"]


def _under(weights: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}


def _norm(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    return layer_norm(x, weights[f"{name}/gamma"], weights[f"{name}/beta"])


def block(x: np.ndarray, num_heads: int, weights: Weights, act: Any = gelu) -> np.ndarray:
    x = _norm(x + attention(x, num_heads, _under(weights, "attention/")), weights, "attention_layer_norm")
    expanded = act(x @ weights["intermediate_dense/kernel"] + weights["intermediate_dense/bias"])
    contracted = expanded @ weights["output_dense/kernel"] + weights["output_dense/bias"]
    return _norm(x + contracted, weights, "output_layer_norm")


def embed(ids: np.ndarray, segments: np.ndarray, positions: np.ndarray, weights: Weights) -> np.ndarray:
    words = weights["word_embeddings/embeddings"][ids]
    total = words + weights["position_embeddings/embeddings"][positions]
    total = total + weights["token_type_embeddings/embeddings"][segments]
    return _norm(total, weights, "layer_norm")


def encode(ids: Any, segments: Any, num_heads: int, weights: Weights, act: Any = gelu) -> np.ndarray:
    """Return `sequence_output` [L, D] of one sequence without padding, given the `weights` of a whole model."""
    weights = _under(weights, "encoder/")
    x = embed(np.asarray(ids), np.asarray(segments), np.arange(len(ids)), _under(weights, "embeddings/"))
    number = 0
    while any(name.startswith(f"block_{number}/") for name in weights):
        x = block(x, num_heads, _under(weights, f"block_{number}/"), act)
        number += 1
    return x


def pool(vectors: np.ndarray, weights: Weights) -> np.ndarray:
    return np.tanh(vectors @ weights["encoder/pooler/dense/kernel"] + weights["encoder/pooler/dense/bias"])


def masked_lm_logits(sequence: np.ndarray, positions: Any, weights: Weights, act: Any = gelu) -> np.ndarray:
    """Return logits [P, V] of `sequence_output` [L, D] of one sequence."""
    x = act(sequence[np.asarray(positions)] @ weights["masked_lm/dense/kernel"] + weights["masked_lm/dense/bias"])
    x = _norm(x, weights, "masked_lm/layer_norm")
    return x @ weights["encoder/embeddings/word_embeddings/embeddings"].T + weights["masked_lm/output_bias"]
