"""The worker of this project, with the training step that `bert_tf.training.loop` runs."""

import sys
from collections.abc import Callable
from pathlib import Path

from own_config import config_of
from protocol import Batch, Case, serve

sys.path.append(str(Path(__file__).resolve().parents[3]))


def start(case: Case, batches: list[Batch]) -> tuple[Callable[[int], float], int, dict[str, str]]:
    """Start the implementation; see `protocol.serve`."""
    import keras
    import tensorflow as tf

    from bert_tf.configs import OptimizerConfig, TrainConfig
    from bert_tf.configs.training import DTYPE_POLICIES
    from bert_tf.models.pretrainer import BertPretrainer
    from bert_tf.objectives.objective import pretraining_objective
    from bert_tf.training.tensorflow_engine.distribution import Distribution
    from bert_tf.training.tensorflow_engine.state import TrainState
    from bert_tf.training.tensorflow_engine.step import TrainStep

    config = config_of(case)
    train = TrainConfig(
        batch_size=case.batch_size, learning_rate=case.learning_rate, warmup_steps=0, precision=case.precision
    )
    state = TrainState(BertPretrainer(config, dtype=DTYPE_POLICIES[case.precision]), case.precision)
    step = tf.function(
        TrainStep(state, pretraining_objective(), train=train, optimizer=OptimizerConfig(), distribution=Distribution())
    )
    tensors = [{name: tf.constant(array) for name, array in batch.items()} for batch in batches]

    def run(number: int) -> float:
        total, weight = step(tensors[number])["masked_lm_loss"]
        return float(total) / float(weight)

    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    return run, state.model.count_params(), versions


if __name__ == "__main__":
    serve(start)
