"""Sentiment of Chinese reviews, from a small encoder that was pre-trained on reviews.

Paper:     Cui et al. 2019, "Pre-Training with Whole Word Masking for Chinese BERT", section 4.4, has other data sets.
Command:   bert-tf finetune --config chinese_sentiment --train_file waimai_10k.csv --split 80/10/10
           --init_checkpoint chinese --model_dir sentiment
           The file has the columns `label` and `review`; it is sorted by label, and --split shuffles within each.
Hardware:  two cores of an x86-64 CPU.
Time:      1.5 minutes on two cores of an AMD EPYC.
Expect:    an accuracy of 89.6 ± 0.3 % on the test part from `chinese_mini`, and 87.7 ± 0.5 % from random weights.
"""

from bert_tf.configs import ClassificationConfig, FinetuningConfig, TrainConfig
from experiments.configs import chinese_mini


def get_config() -> FinetuningConfig:
    """Return the experiment. Its `model`, that of pre-training, is for the control from random weights."""
    return FinetuningConfig(
        model=chinese_mini.get_config().model,
        task=ClassificationConfig(
            text_column="review",
            max_seq_length=64,
            bucket_lengths=(64,),  # one length, so that XLA compiles once
            encoder_dropout_rate=0.1,
            pooling="mean",
        ),
        train=TrainConfig(
            batch_size=32,
            learning_rate=5e-4,
            steps_per_loop=50,
            log_every=50,
            eval_batch_size=128,
            keep_checkpoints=1,
            precision="float32",  # so that its results are the same on every processor
            concurrent_parts=2,
        ),
        num_epochs=2,
    )
