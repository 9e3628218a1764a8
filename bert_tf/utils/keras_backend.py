"""The choice of Keras's backend by a command, before Keras is imported."""

import importlib.util
import os
import sys

ENGINES = ("tensorflow", "jax")
"""The engines that train, by the names of their backends."""

VARIABLE = "KERAS_BACKEND"


def choose_backend(engine: str) -> None:
    """Let Keras compute with the backend of an engine in this process, whatever `keras.json` says.

    Args:
        engine: one of `ENGINES`.

    Raises:
        ValueError: the environment names another backend, Keras computes with another one already, or JAX is not
            installed.
    """
    if engine not in ENGINES:
        raise ValueError(f"`engine` must be one of {', '.join(ENGINES)}. Received: {engine!r}")
    if os.environ.get(VARIABLE, engine) != engine:
        raise ValueError(
            f"`engine` must be the backend that the environment names, {VARIABLE}={os.environ[VARIABLE]}; unset the "
            f"variable. Received: {engine!r}"
        )
    keras = sys.modules.get("keras")
    if keras is not None and keras.backend.backend() != engine:
        raise ValueError(
            f"`engine` must be chosen before Keras is imported, which computes with {keras.backend.backend()} in this "
            f"process. Received: {engine!r}"
        )
    if engine == "jax" and importlib.util.find_spec("jax") is None:
        raise ValueError(
            "`engine` jax needs JAX: pip install 'bert_tf[jax]', or 'bert_tf[jax-gpu]' for GPUs. Received: 'jax'"
        )
    os.environ[VARIABLE] = engine
