"""BERT-large, uncased, first phase of pre-training, with rows of 128 tokens.

Paper:     Devlin et al. 2018, "BERT", section 3.1 and appendix A.2: 1M steps of 256 sequences, 90 % of them at
           length 128.
Command:   bert-tf pretrain --config bert_large --train_data records --eval_data records/heldout --model_dir run
Hardware:  a slice of a TPU pod, or GPUs of at least 40 GB.
Time:      4 days on 16 Cloud TPUs (64 chips) in the paper. This project has not run it.
Expect:    a masked-LM accuracy of 0.72 on Wikipedia, at which MLPerf's reference stops.
"""

from bert_tf.configs import BertConfig, PretrainingConfig, TrainConfig


def get_config() -> PretrainingConfig:
    """Return the experiment."""
    return PretrainingConfig(
        model=BertConfig.named("bert_large"),
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
