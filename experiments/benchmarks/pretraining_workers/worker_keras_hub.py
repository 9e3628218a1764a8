"""The worker of keras-hub: `BertMaskedLM.fit` on TensorFlow, which has no next-sentence head.

`compile` decides whether XLA compiles the step, as Keras does by default, except for bfloat16, whose products XLA's CPU
programs convert to float32.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from pretraining_protocol import PretrainingCase, batches_in, mean_over_batches, serve


class KerasHubTraining:
    """The training by `fit`; a `Training`."""

    def __init__(self, case: PretrainingCase) -> None:
        import keras
        import tensorflow as tf
        from keras_hub_training import make_model

        keras.utils.set_random_seed(case.seed)

        @keras.saving.register_keras_serializable("benchmark")
        class WarmupAndDecay(keras.optimizers.schedules.LearningRateSchedule):
            """A linear rise, and a linear fall to zero in the last share of the steps."""

            def __call__(self, step: Any) -> Any:
                step = tf.cast(step, tf.float32)
                rise = (step + 1) / max(case.warmup_steps, 1)
                fall = (1 - step / case.num_steps) / case.decay_share
                return case.learning_rate * tf.minimum(tf.minimum(rise, 1.0), fall)

            def get_config(self) -> dict[str, Any]:
                return {}

        jit_compile: bool | str = False if case.precision == "bfloat16" else "auto"
        self.model = make_model(case, jit_compile, learning_rate=WarmupAndDecay(), beta2=case.beta2)
        self._case = case
        self._step = 0
        self.parameters = self.model.count_params()
        self.versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "keras-hub": version("keras-hub")}

    def _dataset(self, folder: str, start: int, steps: int | None = None) -> Any:
        import tensorflow as tf
        from keras_hub_training import example

        examples = (example(batch) for batch in batches_in(folder, start))
        first = example(next(batches_in(folder)))
        signature = tf.nest.map_structure(lambda array: tf.TensorSpec(array.shape, array.dtype), first)
        dataset = tf.data.Dataset.from_generator(lambda: examples, output_signature=signature)
        return (dataset if steps is None else dataset.take(steps)).prefetch(2)

    def run(self, steps: int) -> float:
        """Make the next steps, and return the mean loss of all of them."""
        dataset = self._dataset(self._case.batches, self._step, steps)
        self._step += steps
        return self.model.fit(dataset, epochs=1, verbose=0).history["loss"][0]

    def evaluate(self) -> dict[str, float]:
        """Return the loss and accuracy on the held-out rows."""
        import tensorflow as tf

        def sums(inputs: Any, ids: Any, weights: Any) -> tuple[float, float, float]:
            logits = tf.cast(self.model.predict_on_batch(inputs), tf.float32)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)
            correct = tf.cast(tf.equal(tf.argmax(logits, -1, tf.int32), ids), tf.float32)
            return float(tf.reduce_sum(losses * weights)), float(tf.reduce_sum(correct * weights)), weights.sum()

        from keras_hub_training import example

        return mean_over_batches(sums(*example(batch)) for batch in batches_in(self._case.held_out))

    def save(self, folder: str) -> None:
        """Write the backbone and the tokenizer as a preset."""
        from keras_hub.tokenizers import BertTokenizer

        vocabulary = Path(self._case.records, "vocab.txt").read_text(encoding="utf-8").splitlines()
        self.model.backbone.save_to_preset(folder)
        BertTokenizer(vocabulary, lowercase=True).save_to_preset(folder)


if __name__ == "__main__":
    serve(KerasHubTraining)
