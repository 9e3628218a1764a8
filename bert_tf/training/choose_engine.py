"""The choice of the engine that runs a training."""

from bert_tf.training.engine import Engine


def make_engine(*, tpu: str | None = None, num_devices: int | None = None, strategy: str = "auto") -> Engine:
    """Return the engine for the devices that are attached.

    It must be made before anything else starts TensorFlow: jobs of several workers, and several logical devices on a
    CPU, are set up first.

    Args:
        tpu: the name or address of a TPU, or `local` on a TPU VM; None for no TPU.
        num_devices: the number of GPUs to use; None for all. Without GPUs, the number of logical devices into which the
                CPU is divided, to try out replicas.
        strategy: one of `engine.STRATEGIES`. `auto` uses a TPU if `tpu` is given, else several workers if TF_CONFIG
                names them, else all GPUs, else one device.

    Raises:
        ValueError: the TPU is not found, there are fewer devices than asked for, TF_CONFIG is wrong, or the arguments
            contradict each other.
    """
    from bert_tf.training.tensorflow_engine.engine import TensorFlowEngine

    return TensorFlowEngine.for_devices(tpu=tpu, num_devices=num_devices, strategy=strategy)
