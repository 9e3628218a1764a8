"""Pre-training at debug size: every part of the real thing in seconds, for tests and first steps.

Command:   bert-tf pretrain --config bert_tiny_debug --train_data records --model_dir run
Hardware:  a laptop's CPU.
Time:      half a minute.
Expect:    a falling loss, and nothing more.
"""

from bert_tf.configs import BertConfig, PretrainingConfig, TrainConfig


def get_config() -> PretrainingConfig:
    """Return the experiment."""
    return PretrainingConfig(
        model=BertConfig.named("bert_tiny", num_layers=1, hidden_size=64, num_heads=2, intermediate_size=128),
        train=TrainConfig(
            num_steps=20,
            batch_size=16,
            learning_rate=1e-3,
            warmup_steps=4,
            steps_per_loop=5,
            log_every=10,
            checkpoint_every=10,
            eval_every=10,
            eval_batch_size=32,
            precision="float32",  # so that its losses are the same on every processor
        ),
    )
