"""The initializers of weights: BERT's truncated normal, and those of position tables and attention heads."""

from typing import Any

import keras
import numpy as np
from keras import ops

from bert_tf.features import Tensor

NEIGHBOUR_WAVELENGTH = 100.0
"""The longest wavelength of sinusoidal positions for `NeighbourHeads`, in units of 2 pi positions.

It spans a row of some hundred positions once. With the 10,000 of Vaswani et al., half of the columns hardly change
over such a row."""

_OFFSETS = (-1, 1, -2, 2)


def sinusoids(num_positions: int, size: int, longest: float = 10000.0) -> np.ndarray:
    """Return sinusoids, float32 [num_positions, size]: sines in the first half of the columns, cosines in the second.

    Wavelengths grow from 2 pi to `longest` x 2 pi (Vaswani et al. 2017, section 3.5).
    """
    angles = np.arange(num_positions)[:, None] * _frequencies(size, longest)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :size].astype(np.float32)


def _frequencies(size: int, longest: float) -> np.ndarray:
    half = (size + 1) // 2
    return np.exp(-np.log(longest) * np.arange(half) / half)


@keras.saving.register_keras_serializable(package="bert_tf")
class TruncatedNormal(keras.initializers.TruncatedNormal):
    """BERT's initializer, whose values are the same on every backend of Keras.

    It is a normal distribution whose values beyond two standard deviations are drawn again, as `tf.truncated_normal`
    does. The numbers are those of NumPy's `RandomState`, which no later version changes.
    """

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        """Return new values, of `shape` and `dtype`. Calls of one initializer return the same values."""
        random = np.random.RandomState(self.seed)
        values = random.standard_normal(shape).astype(np.float32)
        while (outside := np.abs(values) > 2.0).any():
            values[outside] = random.standard_normal(int(outside.sum())).astype(np.float32)
        return ops.convert_to_tensor(self.mean + np.float32(self.stddev) * values, dtype=dtype)


@keras.saving.register_keras_serializable(package="bert_tf")
class ScaledSinusoids(keras.initializers.Initializer):
    """An initializer of a [positions, size] table with sinusoids of standard deviation `stddev`."""

    def __init__(self, stddev: float = 0.02, longest: float = 10000.0) -> None:
        self.stddev = stddev
        self.longest = longest

    def __call__(self, shape: tuple[int, int], dtype: str | None = None) -> Tensor:
        """Return the table, of `shape` and `dtype`."""
        return ops.convert_to_tensor(sinusoids(*shape, self.longest) * (self.stddev * 2**0.5), dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, from which Keras makes an equal initializer."""
        return {"stddev": self.stddev, "longest": self.longest}


@keras.saving.register_keras_serializable(package="bert_tf")
class NeighbourHeads(keras.initializers.Initializer):
    """An initializer of a [D, 3 D] query-key-value kernel whose heads start by reading neighbouring tokens.

    Positions must start as sinusoids with the same `longest`. Each head takes every N-th frequency. Its key is the
    waves of its position; its query is the same waves, shifted by an offset (a shift rotates each pair of sine and
    cosine). The product of a query is thus largest with the key at that offset: -1, +1, -2, +2, and again from -1.
    Values start from BERT's truncated normal.

    A short pre-training otherwise spends most of its steps on finding this pattern (see the numbers in
    experiments/configs/quickstart.py). D'Ascoli et al. 2021, "ConViT", section 3, likewise let heads start at
    neighbouring patches of an image.

    Args:
        num_heads: N; D / N must be even.
        stddev: standard deviation of the values' truncated normal.
        gain: scale of queries and keys: how sharply heads attend to their offset at first.
        longest: the sinusoids' longest wavelength, in units of 2 pi positions.
    """

    def __init__(
        self, num_heads: int, stddev: float = 0.02, *, gain: float = 1.2, longest: float = NEIGHBOUR_WAVELENGTH
    ) -> None:
        self.num_heads = num_heads
        self.stddev = stddev
        self.gain = gain
        self.longest = longest

    def __call__(self, shape: tuple[int, int], dtype: str | None = None) -> Tensor:
        """Return the kernel, of `shape` [D, 3 D] and `dtype`.

        Raises:
            ValueError: the size of a head is odd, so that sines and cosines cannot be paired.
        """
        hidden_size = shape[0]
        head_size = hidden_size // self.num_heads
        if head_size % 2:
            raise ValueError(
                "Heads that start at their neighbours must have an even size. "
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
            # sin(w (p + d)) = cos(w d) sin(w p) + sin(w d) cos(w p), and likewise the cosine.
            query[waves, sines] = query[half + waves, cosines] = np.cos(turn)
            query[half + waves, sines] = np.sin(turn)
            query[waves, cosines] = -np.sin(turn)
        value = TruncatedNormal(stddev=self.stddev)((hidden_size, hidden_size), dtype=dtype)
        start = ops.convert_to_tensor(self.gain * np.concatenate([query, key], axis=1), dtype=dtype)
        return ops.concatenate([start, ops.cast(value, start.dtype)], axis=1)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor, from which Keras makes an equal initializer."""
        return {"num_heads": self.num_heads, "stddev": self.stddev, "gain": self.gain, "longest": self.longest}
