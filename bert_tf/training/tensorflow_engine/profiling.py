"""The profile of some steps, in the form that TensorBoard's profiler shows."""

import tensorflow as tf

from bert_tf.training.profiling import StepProfile


class TensorFlowProfile(StepProfile):
    """A profile by TensorFlow."""

    def begin(self) -> None:
        """Start to record."""
        tf.profiler.experimental.start(self.folder)

    def end(self) -> None:
        """Write what was recorded."""
        tf.profiler.experimental.stop()
