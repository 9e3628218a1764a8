"""What position tables and attention heads can start from, beside BERT's truncated normal."""

from typing import Any

import keras
import numpy as np
from keras import ops

NEIGHBOUR_WAVELENGTH = 100.0
"""The slowest wave of positions that start as sinusoids for `NeighbourHeads`, in units of 2 pi places: it spans rows of
some hundred places once. Vaswani et al.'s 10,000 leaves half of the columns the same all over such a row."""

_OFFSETS = (-1, 1, -2, 2)


def sinusoids(num_positions: int, size: int, longest: float = 10000.0) -> np.ndarray:
    """float32 [num_positions, size]: sines in the first half of the columns, cosines in the second.

    Wavelengths grow from 2 pi to `longest` x 2 pi (Vaswani et al. 2017, section 3.5).
    """
    angles = np.arange(num_positions)[:, None] * _frequencies(size, longest)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :size].astype(np.float32)


def _frequencies(size: int, longest: float) -> np.ndarray:
    half = (size + 1) // 2
    return np.exp(-np.log(longest) * np.arange(half) / half)


@keras.saving.register_keras_serializable(package="bert_tf")
class ScaledSinusoids(keras.initializers.Initializer):
    """Initialises a [positions, size] table with sinusoids of standard deviation `stddev`."""

    def __init__(self, stddev: float = 0.02, longest: float = 10000.0) -> None:
        self.stddev = stddev
        self.longest = longest

    def __call__(self, shape: tuple[int, int], dtype: str | None = None) -> Any:
        """The table, of `shape` and `dtype`."""
        return ops.convert_to_tensor(sinusoids(*shape, self.longest) * (self.stddev * 2**0.5), dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this initializer again."""
        return {"stddev": self.stddev, "longest": self.longest}


@keras.saving.register_keras_serializable(package="bert_tf")
class NeighbourHeads(keras.initializers.Initializer):
    """Initialises a fused [D, 3 D] query-key-value kernel so that heads start by reading the tokens next to them.

    Positions must start as sinusoids with the same `longest`. Each head takes every N-th frequency: its key is the
    place's waves themselves, its query the same waves turned to the place `offset` further (a shift is a rotation of
    each pair of sine and cosine), so that a query's product is largest with the key at that distance: -1, +1, -2, +2,
    and again. Values start from BERT's truncated normal. A short pre-training otherwise spends most of its steps on
    finding this pattern (experiments/configs/quickstart.py has the figures). D'Ascoli et al. 2021, "ConViT", section 3,
    start heads at neighbouring patches of an image in the same spirit.

    Args:
        num_heads: N; D / N must be even.
        stddev: of the values' truncated normal.
        gain: of queries and keys; how sharply heads start to look.
        longest: the sinusoids' slowest wave.
    """

    def __init__(
        self, num_heads: int, stddev: float = 0.02, gain: float = 1.2, longest: float = NEIGHBOUR_WAVELENGTH
    ) -> None:
        self.num_heads = num_heads
        self.stddev = stddev
        self.gain = gain
        self.longest = longest

    def __call__(self, shape: tuple[int, int], dtype: str | None = None) -> Any:
        """The kernel, of `shape` [D, 3 D] and `dtype`.

        Raises:
            ValueError: the heads' size is odd: sines and cosines cannot be paired.
        """
        hidden_size = shape[0]
        head_size = hidden_size // self.num_heads
        if head_size % 2:
            raise ValueError(
                "heads that start at their neighbours must have an even size. "
                f"Received: hidden_size={hidden_size}, num_heads={self.num_heads}"
            )
        half, pairs = hidden_size // 2, head_size // 2
        query, key = np.zeros((2, hidden_size, hidden_size), np.float32)
        for head in range(self.num_heads):
            waves = np.arange(head, half, self.num_heads)[:pairs]
            turn = _frequencies(hidden_size, self.longest)[waves] * _OFFSETS[head % len(_OFFSETS)]
            sines = head * head_size + np.arange(len(waves))
            cosines = sines + pairs
            key[waves, sines] = key[half + waves, cosines] = 1.0
            # sin(w (p + d)) = cos(w d) sin(w p) + sin(w d) cos(w p), and the cosine alike.
            query[waves, sines] = query[half + waves, cosines] = np.cos(turn)
            query[half + waves, sines] = np.sin(turn)
            query[waves, cosines] = -np.sin(turn)
        value = keras.initializers.TruncatedNormal(stddev=self.stddev)((hidden_size, hidden_size), dtype=dtype)
        start = ops.convert_to_tensor(self.gain * np.concatenate([query, key], axis=1), dtype=dtype)
        return ops.concatenate([start, ops.cast(value, start.dtype)], axis=1)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this initializer again."""
        return {"num_heads": self.num_heads, "stddev": self.stddev, "gain": self.gain, "longest": self.longest}
