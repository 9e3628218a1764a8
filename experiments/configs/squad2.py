"""SQuAD 2.0: find the answer to a question in a text, or find that it has none.

Paper:     Devlin et al. 2018, "BERT", section 4.3: batch 48, learning rate 5e-5, 2 epochs.
Command:   bert-tf finetune --config squad2 --train_file train-v2.0.json --eval_file dev-v2.0.json
           --init_checkpoint bert-large-uncased --model_dir squad2
           `task.null_threshold` is the threshold for "no answer"; the best one on --eval_file is reported.
Hardware:  a GPU of 16 GB for base.
Time:      at most 1 hour on a Cloud TPU, or a few hours on a GPU, in the paper (section 3.2). Not measured here.
Expect:    F1 0.819 (large) on the development set, as published. This project has not run it.
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import QuestionAnsweringConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        task=QuestionAnsweringConfig(unanswerable=True),
        optimizer=OptimizerConfig(bias_correction=True),
        train=TrainConfig(
            batch_size=48,
            learning_rate=5e-5,
            steps_per_loop=50,
            log_every=50,
            keep_checkpoints=1,
            xla_scope="fused",  # rows come in several lengths, and XLA would compile the whole step for each
        ),
        num_epochs=2,
        warmup_share=0.1,
    )
