"""The worker of this project's JAX engine, with the inner loop that trainings run."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from own_config import config_of
from protocol import Batch, Case, serve

sys.path.append(str(Path(__file__).resolve().parents[3]))


def start(case: Case, batches: list[Batch]) -> tuple[Callable[[int], float], int, dict[str, str]]:
    """Start the implementation; see `protocol.serve`."""
    os.environ["KERAS_BACKEND"] = "jax"
    import numpy as np

    from bert_tf.training.jax_engine.engine import JaxEngine
    from experiments.benchmarks.jax_training import JaxTraining, describe_devices

    config = config_of(case)
    arrays = {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
    training = JaxTraining(
        config, arrays, precision=case.precision, engine=JaxEngine.for_devices(), learning_rate=case.learning_rate
    )
    parameters = training.state.model.count_params()
    return lambda number: training.run([number])[0][0], parameters, describe_devices(training)["versions"]


if __name__ == "__main__":
    serve(start)
