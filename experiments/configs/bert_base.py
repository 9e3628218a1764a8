"""BERT-base, uncased, first phase of pre-training, with rows of 128 tokens.

Paper:     Devlin et al. 2018, "BERT", section 3.1 and appendix A.2: 1M steps of 256 sequences, 90 % of
           them at length 128.
Command:   bert-tf pretrain --config bert_base --train_data records --eval_data records/heldout --model_dir run
Hardware:  a TPU v3-8 or 8 GPUs of 16 GB.
Time:      4 days on 4 Cloud TPUs (16 chips) in the paper. This project has not run it.
Expect:    a held-out masked-LM loss of about 1.4 nats on Wikipedia and books, as the published model has.
"""

from bert_tf.configs import BertConfig, OptimizerConfig, PretrainingConfig, TrainConfig


def get_config() -> PretrainingConfig:
    """Return the experiment."""
    return PretrainingConfig(
        model=BertConfig.named("bert_base"),
        optimizer=OptimizerConfig(),  # AdamW without bias correction, decay 0.01, clip 1.0
        train=TrainConfig(
            num_steps=900_000,
            batch_size=256,
            learning_rate=1e-4,
            warmup_steps=10_000,
            steps_per_loop=100,
            log_every=100,
            checkpoint_every=1000,
            eval_every=10_000,
        ),
    )
