"""The profile of some steps, in the form that TensorBoard's profiler shows."""

import jax

from bert_tf.training.profiling import StepProfile


class JaxProfile(StepProfile):
    """A profile by JAX."""

    def begin(self) -> None:
        """Start to record."""
        jax.profiler.start_trace(self.folder)

    def end(self) -> None:
        """Write what was recorded."""
        jax.profiler.stop_trace()
