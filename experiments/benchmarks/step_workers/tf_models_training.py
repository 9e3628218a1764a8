"""The masked-LM task and the optimizer of tf-models-official, in an environment with its legacy Keras."""

from typing import Any

from protocol import Case

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


def masked_lm_task(case: Case) -> Any:
    """Return the task, of which the case gives the sizes."""
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


def make_optimizer(learning_rate: dict[str, Any], beta2: float = 0.999, **others: Any) -> Any:
    """Return AdamW with a schedule of the learning rate, and other parts of the configuration, such as `warmup`."""
    from official.modeling import optimization

    factory = optimization.OptimizerFactory(
        optimization.OptimizationConfig(
            {
                "optimizer": {
                    "type": "adamw",
                    "adamw": {
                        "beta_2": beta2,
                        "weight_decay_rate": 0.01,
                        "gradient_clip_norm": 1.0,
                        "exclude_from_weight_decay": ["LayerNorm", "layer_norm", "bias"],
                    },
                },
                "learning_rate": learning_rate,
            }
            | others
        )
    )
    return factory.build_optimizer(factory.build_learning_rate())
