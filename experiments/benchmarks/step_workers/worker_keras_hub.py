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
    import keras_hub
    import tensorflow as tf

    if case.precision == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=case.vocab_size,
        num_layers=case.num_layers,
        num_heads=case.num_heads,
        hidden_dim=case.hidden_size,
        intermediate_dim=4 * case.hidden_size,
        dropout=case.dropout_rate,
        max_sequence_length=512,
    )
    model = keras_hub.models.BertMaskedLM(backbone)
    optimizer = keras.optimizers.AdamW(case.learning_rate, weight_decay=0.01, global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        optimizer=optimizer,
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy()],
        jit_compile=jit_compile,
    )

    def dataset(batch: Batch) -> tf.data.Dataset:
        inputs = {
            "token_ids": batch["input_ids"],
            "padding_mask": (batch["input_mask"] > 0).astype("int32"),
            "segment_ids": batch["segment_ids"],
            "mask_positions": batch["masked_lm_positions"],
        }
        return tf.data.Dataset.from_tensors((inputs, batch["masked_lm_ids"], batch["masked_lm_weights"])).cache()

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
