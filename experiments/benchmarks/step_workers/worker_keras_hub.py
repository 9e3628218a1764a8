"""The worker of keras-hub: `BertMaskedLM.fit` on TensorFlow, which has no next-sentence head.

`compile` gets jit_compile=False, because XLA's CPU programs convert bfloat16 products to float32. keras-hub under XLA
was not measured.
"""

from collections.abc import Callable
from importlib.metadata import version

from protocol import Batch, Case, serve


def start(case: Case, batches: list[Batch], jit_compile: bool = False) -> tuple[Callable[[int], float], int, dict]:
    """Start the implementation; see `protocol.serve`."""
    import keras
    import tensorflow as tf
    from keras_hub_training import example, make_model

    model = make_model(case, jit_compile)

    def dataset(batch: Batch) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensors(example(batch)).cache()

    datasets = [dataset(batch) for batch in batches]

    def run(number: int) -> float:
        return model.fit(datasets[number], epochs=1, verbose=0).history["loss"][0]

    versions = {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "keras-hub": version("keras-hub"),
    }
    return run, model.count_params(), versions


if __name__ == "__main__":
    serve(start)
