"""Multi-label classification: any number of labels for each text.

Command:   bert-tf finetune --config multi_label --train_file topics.tsv --split 80/10/10 --init_checkpoint run
           --model_dir topics
           The table has the columns text and label; commas separate the labels of a text.
Hardware:  a GPU for base, a CPU for small models.
Time:      not measured.
Expect:    metrics that depend on the encoder and the data.
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import MultiLabelConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        task=MultiLabelConfig(max_seq_length=128),
        optimizer=OptimizerConfig(bias_correction=True),
        train=TrainConfig(
            batch_size=32,
            learning_rate=3e-5,
            steps_per_loop=50,
            log_every=50,
            keep_checkpoints=1,
            xla_scope="fused",  # rows come in several lengths, and XLA would compile the whole step for each
        ),
        num_epochs=4,
        warmup_share=0.1,
    )
