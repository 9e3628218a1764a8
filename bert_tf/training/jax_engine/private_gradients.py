"""Differentially private gradients: each row's is clipped, and noise is added to their sum (Abadi et al. 2016)."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from bert_tf.features import Batch, Tensor
from bert_tf.objectives.objective import PrivateGradients

Gradients = dict[str, Tensor]


def clipped_sum(
    gradient_of: Callable[[Gradients, Batch, Tensor], tuple[Gradients, Tensor]],
    weights: Gradients,
    batch: Batch,
    seeds: Tensor,
    *,
    clip_norm: float,
) -> tuple[Gradients, Tensor]:
    """Return the sum of the rows' gradients, each clipped to a global norm, and the sum of what else they give.

    Memory holds the gradients of all rows at once.

    Args:
        gradient_of: a function of (weights, batch, seeds) that returns the gradients of a batch and an array.
        weights: the weights.
        batch: the rows, [B, ...] each.
        seeds: the seed of each row, [B, ...].
        clip_norm: the largest norm of a row's gradient.
    """

    def of_row(row: Batch, seed: Tensor) -> tuple[Gradients, Tensor]:
        gradients, sums = gradient_of(weights, {name: value[None] for name, value in row.items()}, seed[None])
        gradients = {name: gradient.astype("float32") for name, gradient in gradients.items()}
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(gradient)) for gradient in gradients.values()))
        factor = jnp.minimum(1.0, clip_norm / jnp.maximum(norm, 1e-12))
        return {name: gradient * factor for name, gradient in gradients.items()}, sums

    gradients, sums = jax.vmap(of_row)(dict(batch), seeds)
    return {name: jnp.sum(gradient, axis=0) for name, gradient in gradients.items()}, jnp.sum(sums, axis=0)


def noised(gradients: Mapping[str, Tensor], private: PrivateGradients, step: Tensor) -> Gradients:
    """Return the sum of clipped gradients with the noise of a step, divided by the expected number of rows."""
    words = [private.seed >> 32 & 0xFFFFFFFF, private.seed & 0xFFFFFFFF]
    key = jax.random.fold_in(jax.random.wrap_key_data(jnp.array(words, "uint32"), impl="threefry2x32"), step)
    deviation = private.noise_multiplier * private.clip_norm
    keys = jax.random.split(key, len(gradients))
    return {
        name: (gradient + deviation * jax.random.normal(keys[number], gradient.shape, "float32"))
        / private.expected_rows
        for number, (name, gradient) in enumerate(sorted(gradients.items()))
    }
