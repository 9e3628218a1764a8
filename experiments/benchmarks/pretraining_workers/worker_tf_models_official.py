"""The worker of tf-models-official: `MaskedLMTask.train_step` in one tf.function, with AdamW and next-sentence head."""

import os
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
from pretraining_protocol import PretrainingCase, batches_in, mean_over_batches, serve


def learning_rate(case: PretrainingCase) -> dict[str, Any]:
    """Return the configuration of the learning rate after the warm-up, which falls linearly at the end or all the time.

    A power of 0 leaves it constant before the last `decay_share` of the steps.
    """
    highest = {"initial_learning_rate": case.learning_rate}
    if case.decay_share == 1:
        return {"type": "polynomial", "polynomial": highest | {"end_learning_rate": 0.0, "decay_steps": case.num_steps}}
    fall = {"total_decay_steps": case.num_steps, "power": 0.0, "linear_decay_fraction": case.decay_share}
    return {"type": "power_linear", "power_linear": highest | fall}


class TfModelsTraining:
    """The training of the masked-LM task; a `Training`."""

    def __init__(self, case: PretrainingCase) -> None:
        os.environ["TF_USE_LEGACY_KERAS"] = "1"
        import tensorflow as tf
        import tf_keras
        from tf_models_training import NAMES, make_optimizer, masked_lm_task

        tf_keras.utils.set_random_seed(case.seed)
        if case.precision == "bfloat16":
            tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
        self._task = masked_lm_task(case)
        self.model = model = self._task.build_model()
        optimizer = make_optimizer(
            learning_rate(case),
            case.beta2,
            warmup={"type": "polynomial", "polynomial": {"power": 1, "warmup_steps": case.warmup_steps}},
        )
        metrics = self._task.build_metrics()
        self._train = tf.function(lambda inputs: self._task.train_step(inputs, model, optimizer, metrics))

        @tf.function
        def evaluated(inputs):
            logits = tf.cast(model(inputs, training=False)["mlm_logits"], tf.float32)
            ids, weights = inputs["masked_lm_ids"], inputs["masked_lm_weights"]
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)
            correct = tf.cast(tf.equal(tf.argmax(logits, -1, tf.int32), ids), tf.float32)
            return tf.reduce_sum(losses * weights), tf.reduce_sum(correct * weights), tf.reduce_sum(weights)

        self._evaluated = evaluated
        self._names = NAMES
        self._case = case
        model(next(self._inputs(case.held_out)))  # creates its weights
        self._batches = self._inputs(case.batches)
        self.parameters = model.count_params()
        self.versions = {"tensorflow": tf.__version__, "tf-models-official": version("tf-models-official")}

    def _inputs(self, folder: str) -> Iterator[dict[str, np.ndarray]]:
        for batch in batches_in(folder):
            yield {theirs: batch[ours] for ours, theirs in self._names.items()}

    def run(self, steps: int) -> float:
        """Make the next steps, and return the loss of the last one."""
        for _ in range(steps):
            logs = self._train(next(self._batches))
        return float(logs[self._task.loss])

    def evaluate(self) -> dict[str, float]:
        """Return the loss and accuracy on the held-out rows."""
        batches = self._inputs(self._case.held_out)
        return mean_over_batches(tuple(map(float, self._evaluated(batch))) for batch in batches)

    def save(self, folder: str) -> None:
        """Write the model as the Model Garden does, with `bert_config.json` and `vocab.txt` beside it."""
        import json
        import shutil
        from pathlib import Path

        import tensorflow as tf

        case = self._case
        tf.train.Checkpoint(model=self.model, encoder=self.model.encoder_network).write(
            os.path.join(folder, "bert_model.ckpt")
        )
        config = {
            "vocab_size": case.vocab_size,
            "hidden_size": case.hidden_size,
            "num_hidden_layers": case.num_layers,
            "num_attention_heads": case.num_heads,
            "intermediate_size": 4 * case.hidden_size,
            "hidden_act": "gelu",
            "max_position_embeddings": 512,
            "type_vocab_size": 2,
        }
        shutil.copy(Path(case.records, "vocab.txt"), folder)
        Path(folder, "bert_config.json").write_text(json.dumps(config), encoding="utf-8")


if __name__ == "__main__":
    serve(TfModelsTraining)
