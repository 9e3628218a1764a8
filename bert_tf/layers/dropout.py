"""Dropout whose mask is a function of a seed that the caller passes in."""

from typing import Any

import keras
from keras import ops

from bert_tf.layers.base import BertLayer, normalized
from bert_tf.layers.random_bits import random_bits


def dropped(x: Any, seed: Any, rate: float) -> Any:
    """Dropout of x: a function of (x, seed); x itself where the rate is 0.

    Args:
        x: float tensor of any shape.
        seed: integer scalar.
        rate: at least 0 and below 1.
    """
    if not rate:
        return x
    bits = random_bits(ops.shape(x), seed)
    keep = ops.greater_equal(bits, ops.convert_to_tensor(round(rate * 2**32), dtype="uint32"))
    return ops.where(keep, ops.multiply(x, ops.cast(1.0 / (1.0 - rate), x.dtype)), ops.zeros((), x.dtype))


def dropped_sum_normalized(
    x: Any, bias: Any, residual: Any, gamma: Any, beta: Any, seed: Any, rate: float, epsilon: float
) -> Any:
    """LayerNorm(residual + dropout(x + bias)), in float32, returned in x's dtype; a fused operation (`bert_tf.fusion`).

    Args:
        x: float [..., D], a product.
        bias: float32 [D], the product's.
        residual: float [..., D].
        gamma: float32 [D].
        beta: float32 [D].
        seed: integer scalar, of the dropout mask.
        rate: of the dropout.
        epsilon: of the LayerNorm.
    """
    branch = dropped(ops.cast(x, "float32") + ops.cast(bias, "float32"), seed, rate)
    return ops.cast(normalized(ops.cast(residual, "float32") + branch, gamma, beta, epsilon), x.dtype)


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
        return dropped(inputs, *self.seed_and_rate(training, seed))

    def seed_and_rate(self, training: bool, seed: Any) -> tuple[Any, float]:
        """What `dropped` takes after its input, for callers that fuse it with their own work; the rate is 0 for none.

        Args:
            training: whether to drop.
            seed: integer scalar; None draws from the layer's own counter.
        """
        if not training or not self.rate:
            return ops.zeros((), "uint32"), 0.0
        return (self.next_seed() if seed is None else ops.cast(seed, "uint32")), self.rate
