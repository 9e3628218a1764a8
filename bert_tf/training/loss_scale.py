"""The adaptive loss scale of float16, which keeps small gradients from becoming zero.

It follows Micikevicius et al. 2018, "Mixed precision training". The scale is a factor of the loss that halves after an
overflow, and doubles after many steps without one.
"""

import numpy as np
from keras import ops

from bert_tf.features import Tensor

SCALE = "loss_scale"
"""The name of the factor in a checkpoint."""

FINITE_STEPS = "finite_steps"
"""The name, in a checkpoint, of the number of steps without an overflow since the scale last changed."""

_INITIAL_SCALE = 2.0**15
_GROWTH_STEPS = 2000


def first_values() -> dict[str, np.ndarray]:
    """Return the values before the first step by name, a float32 and an int32 scalar."""
    return {SCALE: np.array(_INITIAL_SCALE, np.float32), FINITE_STEPS: np.array(0, np.int32)}


def next_values(scale: Tensor, finite_steps: Tensor, finite: Tensor) -> dict[str, Tensor]:
    """Return the values after a step by name.

    Args:
        scale: the factor, float32 scalar.
        finite_steps: the counter, int32 scalar.
        finite: whether the step's gradient was finite, a boolean scalar.
    """
    good = ops.where(finite, finite_steps + 1, 0)
    grown = good >= _GROWTH_STEPS
    scale = ops.where(finite, ops.where(grown, scale * 2.0, scale), ops.maximum(scale * 0.5, 1.0))
    return {SCALE: scale, FINITE_STEPS: ops.where(grown, 0, good)}
