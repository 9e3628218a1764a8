"""The variables of float16's loss scale."""

import tensorflow as tf

from bert_tf.training import loss_scale


class LossScale:
    """The loss scale (`training.loss_scale`) as variables.

    Attributes:
        scale: the factor, a float32 variable.
        finite_steps: the number of steps without an overflow since the scale last changed, an int32 variable.
    """

    def __init__(self) -> None:
        first = loss_scale.first_values()
        self.scale = tf.Variable(first[loss_scale.SCALE], trainable=False)
        self.finite_steps = tf.Variable(first[loss_scale.FINITE_STEPS], trainable=False)

    def variables(self) -> dict[str, tf.Variable]:
        """Return the variables by name, as a checkpoint holds them."""
        return {loss_scale.SCALE: self.scale, loss_scale.FINITE_STEPS: self.finite_steps}

    def next_values(self, finite: tf.Tensor) -> list[tf.Tensor]:
        """Return the values of `scale` and `finite_steps` after a step.

        Args:
            finite: whether the step's gradient was finite, a boolean scalar.
        """
        values = loss_scale.next_values(tf.identity(self.scale), tf.identity(self.finite_steps), finite)
        return [values[loss_scale.SCALE], values[loss_scale.FINITE_STEPS]]


def make_loss_scale(precision: str) -> LossScale | None:
    """Return the loss scale for float16, or None for float32 and bfloat16, which have the range of float32."""
    return LossScale() if precision == "float16" else None
