"""Named entities of the People's Daily (persons, places, organizations), from a small Chinese encoder.

Paper:     Cui et al. 2019, "Pre-Training with Whole Word Masking for Chinese BERT", section 4.3, on the same newspaper.
Command:   bert-tf finetune --config chinese_entities --train_file peoples_daily_ner.test.conll
           --eval_file peoples_daily_ner.dev.conll --init_checkpoint chinese --model_dir entities
           The files hold a character and its tag on each line.
Hardware:  two cores of an x86-64 CPU.
Time:      2 minutes on two cores of an AMD EPYC.
Expect:    an F1 of 59.6 ± 0.2 % on the dev file from `chinese_mini`, and 40.4 ± 1.2 % from random weights.
"""

from bert_tf.configs import FinetuningConfig, TrainConfig
from bert_tf.configs.tasks import TaggingConfig
from experiments.configs import chinese_mini


def get_config() -> FinetuningConfig:
    """Return the experiment. Its `model`, that of pre-training, is for the control from random weights."""
    return FinetuningConfig(
        model=chinese_mini.get_config().model,
        task=TaggingConfig(
            max_seq_length=64,
            bucket_lengths=(64,),  # one length, so that XLA compiles once
            encoder_dropout_rate=0.1,
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
        num_epochs=4,
    )
