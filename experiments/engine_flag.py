"""The flag `--engine`: TensorFlow or JAX computes."""

from absl import flags

from bert_tf.utils import keras_backend


def define_flag() -> None:
    """Define the flag that says what computes."""
    flags.DEFINE_enum(
        "engine",
        keras_backend.ENGINES[0],
        keras_backend.ENGINES,
        "What computes: TensorFlow or JAX.",
    )


def choose_backend() -> None:
    """Let Keras compute with `--engine`. Call it first, before anything imports Keras.

    Raises:
        ValueError: the environment names another backend, JAX is not installed, or the engine does not run on
            `--topology`.
    """
    from tpu_configs import topologies

    values = flags.FLAGS
    if "topology" in values and values.topology:
        topologies.load(values.topology).check_engine(values.engine)
    keras_backend.choose_backend(values.engine)
