"""RACE: questions on English examination texts, with four answers each.

Paper:     Lai et al. 2017, "RACE: Large-scale ReAding Comprehension Dataset From Examinations". The settings are those
           of Liu et al. 2019, "RoBERTa", table 10 (batch size 16, learning rate 1e-5, 4 epochs, 6 % warm-up, weight
           decay 0.1).
Command:   bert-tf finetune --config race --train_file RACE/train --eval_file RACE/dev --init_checkpoint
           bert-large-uncased --model_dir race
           The folders are those of the data set: a file (.txt) for each article, in `high` and `middle`.
Hardware:  a GPU of 40 GB for base: a row of training holds the article four times, 2,048 tokens, and plain attention
           needs room for the square of that. --set model.attention=fused (JAX) does not.
Time:      not measured.
Expect:    accuracy 0.720 with BERT-large on the test set, as published for BERT by Zhang et al. 2019, "DCMN+". This
           project has not run it.
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import MultipleChoiceConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        task=MultipleChoiceConfig(max_seq_length=512, equal_choices=True),
        optimizer=OptimizerConfig(bias_correction=True, weight_decay=0.1),
        train=TrainConfig(
            batch_size=16,
            learning_rate=1e-5,
            steps_per_loop=50,
            log_every=50,
            keep_checkpoints=1,
            xla_scope="fused",  # rows come in several lengths, and XLA would compile the whole step for each
        ),
        num_epochs=4,
        warmup_share=0.06,
    )
