"""The choice of the engine that runs a training."""

import contextlib

from bert_tf.training.engine import Engine


def make_engine(*, tpu: str | None = None, num_devices: int | None = None, strategy: str = "auto") -> Engine:
    """Return the engine of Keras's backend, TensorFlow or JAX, for the devices that are attached.

    It must be made before anything else starts TensorFlow or JAX: jobs of several workers, and several logical devices
    on a CPU, are set up first.

    Args:
        tpu: the name or address of a TPU, or `local` on a TPU VM; None for no TPU. Through JAX, only `local`.
        num_devices: the number of GPUs to use; None for all. Without GPUs, the number of logical devices into which the
                CPU is divided, to try out replicas.
        strategy: one of `engine.STRATEGIES`. `auto` uses a TPU if `tpu` is given, else several workers if TF_CONFIG
                names them, else all GPUs, else one device. Through JAX, one of `jax_engine.devices.STRATEGIES`.

    Raises:
        ValueError: the TPU is not found, there are fewer devices than asked for, TF_CONFIG is wrong, the arguments
            contradict each other, or Keras computes with another backend than TensorFlow or JAX.
    """
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        from bert_tf.training.jax_engine.engine import JaxEngine

        _leave_accelerators_to_jax()
        return JaxEngine.for_devices(tpu=tpu, num_devices=num_devices, strategy=strategy)
    if backend != "tensorflow":
        raise ValueError(
            "trainings compute with TensorFlow or JAX: set KERAS_BACKEND=tensorflow or KERAS_BACKEND=jax before Keras "
            f"is imported. Received: KERAS_BACKEND={backend}"
        )
    from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine

    return TensorFlowEngine.for_devices(tpu=tpu, num_devices=num_devices, strategy=strategy)


def _leave_accelerators_to_jax() -> None:
    """Hide the GPUs from TensorFlow, which only reads the records and would take all of their memory."""
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):  # it has started already
        tf.config.set_visible_devices([], "GPU")
