"""The adaptive loss scale of float16, which keeps small gradients from becoming zero.

It follows Micikevicius et al. 2018, "Mixed precision training".
"""

import tensorflow as tf

_INITIAL_SCALE = 2.0**15
_GROWTH_STEPS = 2000


class LossScale:
    """A factor of the loss that halves after an overflow and doubles after many steps without one.

    Attributes:
        scale: the factor, a float32 variable.
        finite_steps: the number of steps without an overflow since the scale last changed, an int32 variable.
    """

    def __init__(self) -> None:
        self.scale = tf.Variable(_INITIAL_SCALE, trainable=False)
        self.finite_steps = tf.Variable(0, trainable=False)

    def variables(self) -> dict[str, tf.Variable]:
        """Return the variables by name, as a checkpoint holds them."""
        return {"loss_scale": self.scale, "finite_steps": self.finite_steps}

    def next_values(self, finite: tf.Tensor) -> list[tf.Tensor]:
        """Return the values of `scale` and `finite_steps` after a step.

        Args:
            finite: whether the step's gradient was finite, a boolean scalar.
        """
        good = tf.where(finite, tf.identity(self.finite_steps) + 1, 0)
        grown = good >= _GROWTH_STEPS
        scale = tf.identity(self.scale)
        scale = tf.where(finite, tf.where(grown, scale * 2.0, scale), tf.maximum(scale * 0.5, 1.0))
        return [scale, tf.where(grown, 0, good)]


def make_loss_scale(precision: str) -> LossScale | None:
    """Return the loss scale for float16, or None for float32 and bfloat16, which have the range of float32."""
    return LossScale() if precision == "float16" else None
