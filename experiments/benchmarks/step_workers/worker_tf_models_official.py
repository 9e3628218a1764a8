"""The worker of tf-models-official: `MaskedLMTask.train_step` in one tf.function, with AdamW and next-sentence head."""

import os
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from protocol import Batch, Case, serve

# Our names of features, and theirs.
NAMES = {
    "input_ids": "input_word_ids",
    "segment_ids": "input_type_ids",
    "input_mask": "input_mask",
    "masked_lm_positions": "masked_lm_positions",
    "masked_lm_ids": "masked_lm_ids",
    "masked_lm_weights": "masked_lm_weights",
    "next_sentence_labels": "next_sentence_labels",
}


def start(case: Case, batches: list[Batch]) -> tuple[Callable[[int], float], int, dict[str, str]]:
    """Start the implementation; see `protocol.serve`."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf
    import tf_keras

    if case.precision == "bfloat16":
        tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    task = _masked_lm_task(case)
    model = task.build_model()
    optimizer = _optimizer(case)
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


def _masked_lm_task(case: Case) -> Any:
    from official.nlp.configs import bert, encoders
    from official.nlp.data import pretrain_dataloader
    from official.nlp.tasks import masked_lm

    encoder = encoders.BertEncoderConfig(
        vocab_size=case.vocab_size,
        hidden_size=case.hidden_size,
        num_layers=case.num_layers,
        num_attention_heads=case.num_heads,
        intermediate_size=4 * case.hidden_size,
        dropout_rate=case.dropout_rate,
        attention_dropout_rate=case.dropout_rate,
    )
    head = bert.ClsHeadConfig(inner_dim=case.hidden_size, num_classes=2, dropout_rate=0.1, name="next_sentence")
    return masked_lm.MaskedLMTask(
        masked_lm.MaskedLMConfig(
            model=bert.PretrainerConfig(
                encoder=encoders.EncoderConfig(type="bert", bert=encoder), cls_heads=[head], mlm_activation="gelu"
            ),
            train_data=pretrain_dataloader.BertPretrainDataConfig(
                input_path="none", seq_length=case.max_seq_length, max_predictions_per_seq=case.predictions
            ),
        )
    )


def _optimizer(case: Case) -> Any:
    from official.modeling import optimization

    factory = optimization.OptimizerFactory(
        optimization.OptimizationConfig(
            {
                "optimizer": {
                    "type": "adamw",
                    "adamw": {
                        "weight_decay_rate": 0.01,
                        "gradient_clip_norm": 1.0,
                        "exclude_from_weight_decay": ["LayerNorm", "layer_norm", "bias"],
                    },
                },
                "learning_rate": {
                    "type": "polynomial",
                    "polynomial": {"initial_learning_rate": case.learning_rate, "decay_steps": 1000},
                },
            }
        )
    )
    return factory.build_optimizer(factory.build_learning_rate())


if __name__ == "__main__":
    serve(start)
