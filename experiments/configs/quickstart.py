"""The quickstart's pre-training: a small BERT on a laptop's two cores in three minutes.

Command:   make quickstart
Hardware:  two cores of an x86-64 CPU.
"""

from bert_tf.configs import BertConfig, MaskingConfig, OptimizerConfig, PretrainingConfig, TrainConfig


def get_config() -> PretrainingConfig:
    """The experiment."""
    return PretrainingConfig(
        model=BertConfig(
            vocab_size=8000,
            hidden_size=128,
            num_layers=2,
            num_heads=4,
            intermediate_size=256,
            hidden_act="gelu_new",
            dropout_rate=0.0,
            attention_dropout_rate=0.0,
            max_position_embeddings=128,
            initializer_range=0.08,
            position_initializer="sinusoidal",
            output_bias_from_unigram=True,
        ),
        masking=MaskingConfig(masked_lm_rate=0.3),
        optimizer=OptimizerConfig(beta2=0.98, bias_correction=True),
        train=TrainConfig(
            num_steps=1600,
            batch_size=32,
            learning_rate=2.5e-3,
            warmup_steps=160,
            steps_per_loop=50,
            log_every=50,
            eval_batch_size=128,
            concurrent_parts=2,
        ),
    )
