"""Dropout whose mask is a function of seeds that the caller passes in, one for each row of the batch."""

from typing import Any

import keras
from keras import ops

from bert_tf.features import Tensor
from bert_tf.layers.base import BertLayer, normalized
from bert_tf.layers.random_bits import random_bits, row_seeds


def dropped(x: Tensor, seed: Tensor, rate: float) -> Tensor:
    """Return x after dropout, a pure function of (x, seed); x itself if the rate is 0.

    An element is dropped if its 32 random bits are a number below `rate` x 2**32, rounded to an integer. The scale is
    the reciprocal of the exact probability that is left, and is applied in float32: 1 / 0.9 in bfloat16 would be 0.16 %
    too small.

    Args:
        x: float [B, ...].
        seed: integers [B], the seeds of the rows; or an integer scalar, into which the number of each row is folded.
        rate: at least 0 and below 1.
    """
    if not rate:
        return x
    shape = ops.shape(x)
    threshold = min(round(rate * 2**32), 2**32 - 1)
    bits = random_bits(shape, row_seeds(seed, shape[0]))
    keep = ops.greater_equal(bits, ops.convert_to_tensor(threshold, dtype="uint32"))
    scaled = ops.multiply(ops.cast(x, "float32"), ops.cast(2**32 / (2**32 - threshold), "float32"))
    return ops.cast(ops.where(keep, scaled, ops.zeros((), "float32")), x.dtype)


def dropped_sum_normalized(
    x: Tensor, bias: Tensor, residual: Tensor, gamma: Tensor, beta: Tensor, seed: Tensor, rate: float, epsilon: float
) -> Tensor:
    """Return LayerNorm(residual + dropout(x + bias)) in x's dtype; a fused operation (`bert_tf.fusion`).

    It is computed in float32.

    Args:
        x: float [B, ..., D], a product without its bias.
        bias: float32 [D].
        residual: float [B, ..., D].
        gamma: float32 [D], the scale of the normalisation.
        beta: float32 [D], the shift of the normalisation.
        seed: integers [B], the seeds of the rows; or an integer scalar, into which the number of each row is folded.
        rate: the dropout rate, at least 0 and below 1.
        epsilon: added to the variance.
    """
    branch = dropped(ops.cast(x, "float32") + ops.cast(bias, "float32"), seed, rate)
    return ops.cast(normalized(ops.cast(residual, "float32") + branch, gamma, beta, epsilon), x.dtype)


@keras.saving.register_keras_serializable(package="bert_tf")
class Dropout(BertLayer):
    """Dropout: zeroes elements with probability `rate`, scales the rest by 1 / (1 - rate) (Srivastava et al. 2014).

    The mask of a row is a function of its seed and its shape. A training step passes seeds made of (run, step, row of
    the global batch, layer): replicas and parts of a batch draw the masks that one device draws for the whole batch,
    and a resumed run draws those of an uninterrupted one. Without a seed (`fit`), the layer counts its own calls, and
    folds in the rows' numbers in the batch that it gets.

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

    def next_seed(self) -> Tensor | None:
        """Return a new seed from the layer's own counter, uint32 scalar; None if the rate is 0."""
        if self.seed_generator is None:
            return None
        own, count = ops.unstack(ops.cast(self.seed_generator.next(), "uint32"), num=2)
        return ops.add(own, count)

    def call(self, inputs: Tensor, training: bool = False, seed: Tensor | None = None) -> Tensor:
        """Return `inputs`, after dropout under training, with the same shape and dtype.

        Args:
            inputs: float [B, ...].
            training: whether dropout is applied.
            seed: integer scalar, or integers [B]; with None, the layer's own counter is used.
        """
        return dropped(inputs, *self.seed_and_rate(training, seed))

    def seed_and_rate(self, training: bool, seed: Tensor | None) -> tuple[Tensor, float]:
        """Return the seeds and the rate for a fused operation that applies `dropped`; the rate is 0 outside training.

        Args:
            training: whether dropout is applied.
            seed: integer scalar, or integers [B]; with None, the layer's own counter is used.
        """
        if not training or not self.rate:
            return ops.zeros((), "uint32"), 0.0
        return (self.next_seed() if seed is None else ops.cast(seed, "uint32")), self.rate
