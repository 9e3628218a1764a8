"""Dropout whose mask is a function of a seed that the caller passes in."""

from typing import Any

import keras
from keras import ops

from bert_tf.layers.base import BertLayer
from bert_tf.layers.random_bits import random_bits


@keras.saving.register_keras_serializable(package="bert_tf")
class Dropout(BertLayer):
    """Zeroes elements with probability `rate` and scales the rest by 1 / (1 - rate) (Srivastava et al. 2014).

    With `seed` given, the mask is a function of (seed, shape): a training step passes a seed made of (run, step,
    replica), so that no two replicas draw the same mask and a resumed run draws the masks of an uninterrupted
    one. Without `seed` (`fit`), the layer counts its own calls.

    Args:
        rate: at least 0 and below 1.

    >>> Dropout(0.5)(keras.ops.ones((2, 8)), training=True, seed=7).shape
    TensorShape([2, 8])
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"`rate` must be at least 0 and below 1. Received: {rate!r}")
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator() if rate > 0 else None
        self.supports_masking = True
        self.built = True

    def next_seed(self) -> Any:
        """A seed of the layer's own, another at each call; uint32 scalar, or None where nothing is dropped."""
        if self.seed_generator is None:
            return None
        own, count = ops.unstack(ops.cast(self.seed_generator.next(), "uint32"), num=2)
        return ops.add(own, count)

    def call(self, inputs: Any, training: bool = False, seed: Any = None) -> Any:
        """`inputs` with dropout under training, of the same shape and dtype.

        Args:
            inputs: float tensor of any shape.
            training: whether to drop.
            seed: integer scalar; None draws from the layer's own counter.
        """
        if not training or self.seed_generator is None:
            return inputs
        bits = random_bits(ops.shape(inputs), self.next_seed() if seed is None else seed)
        keep = ops.greater_equal(bits, ops.convert_to_tensor(round(self.rate * 2**32), dtype="uint32"))
        scale = ops.cast(1.0 / (1.0 - self.rate), inputs.dtype)
        return ops.where(keep, ops.multiply(inputs, scale), ops.zeros((), inputs.dtype))
