"""keras-hub's `BertMaskedLM`, on whichever backend the environment names. It has no next-sentence head."""

from typing import Any

import keras
import keras_hub
from protocol import Batch, Case


def make_model(case: Case, jit_compile: bool | str, *, learning_rate: Any = None, beta2: float = 0.999) -> Any:
    """Return the model, compiled for `fit` with AdamW and clipping as in this project.

    Args:
        case: the sizes.
        jit_compile: as in `compile`.
        learning_rate: a schedule; None for that of the case.
        beta2: the decay of AdamW's second moments.
    """
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
    optimizer = keras.optimizers.AdamW(
        case.learning_rate if learning_rate is None else learning_rate,
        weight_decay=0.01,
        beta_2=beta2,
        global_clipnorm=1.0,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        optimizer=optimizer,
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy()],
        jit_compile=jit_compile,
    )
    return model


def example(batch: Batch) -> tuple[Any, Any, Any]:
    """Return a batch as the inputs, labels and weights of `fit`."""
    inputs = {
        "token_ids": batch["input_ids"],
        "padding_mask": (batch["input_mask"] > 0).astype("int32"),
        "segment_ids": batch["segment_ids"],
        "mask_positions": batch["masked_lm_positions"],
    }
    return inputs, batch["masked_lm_ids"], batch["masked_lm_weights"]
