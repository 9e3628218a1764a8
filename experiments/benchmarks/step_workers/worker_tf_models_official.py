"""The worker of tf-models-official: `MaskedLMTask.train_step` in one tf.function, with AdamW and next-sentence head."""

import os
from collections.abc import Callable
from importlib.metadata import version

from protocol import Batch, Case, serve


def start(case: Case, batches: list[Batch]) -> tuple[Callable[[int], float], int, dict[str, str]]:
    """Start the implementation; see `protocol.serve`."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf
    import tf_keras
    from tf_models_training import NAMES, make_optimizer, masked_lm_task

    if case.precision == "bfloat16":
        tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    task = masked_lm_task(case)
    model = task.build_model()
    schedule = {"initial_learning_rate": case.learning_rate, "decay_steps": 1000}
    optimizer = make_optimizer({"type": "polynomial", "polynomial": schedule})
    metrics = task.build_metrics()
    tensors = [{theirs: tf.constant(batch[ours]) for ours, theirs in NAMES.items()} for batch in batches]

    @tf.function
    def step(inputs):
        return task.train_step(inputs, model, optimizer, metrics)

    def run(number: int) -> float:
        return float(step(tensors[number])[task.loss])

    run(0)
    versions = {"tensorflow": tf.__version__, "tf-models-official": version("tf-models-official")}
    return run, model.count_params(), versions


if __name__ == "__main__":
    serve(start)
