"""SQuAD 1.1: find the answer to a question in a text.

Paper:     Devlin et al. 2018, "BERT", section 4.2: batch 32, learning rate 5e-5, 3 epochs (run_squad.py: 384 tokens, a
           stride of 128).
Command:   bert-tf finetune --config squad --train_file train-v1.1.json --eval_file dev-v1.1.json
           --init_checkpoint bert-base-uncased --model_dir squad
Hardware:  a GPU of 16 GB for base.
Time:      at most 1 hour on a Cloud TPU, or a few hours on a GPU, in the paper (section 3.2). Not measured here.
Expect:    F1 0.885, exact match 0.808 (base) on the development set, as published. This project
           has not run it.
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import QuestionAnsweringConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        task=QuestionAnsweringConfig(),
        optimizer=OptimizerConfig(bias_correction=True),
        train=TrainConfig(
            batch_size=32,
            learning_rate=5e-5,
            steps_per_loop=50,
            log_every=50,
            keep_checkpoints=1,
            xla_scope="fused",  # rows come in several lengths, and XLA would compile the whole step for each
        ),
        num_epochs=3,
        warmup_share=0.1,
    )
