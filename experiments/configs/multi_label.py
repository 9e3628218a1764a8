"""Any number of labels a text: a table with the columns text and label, labels with commas between.

Command:   python -m experiments.finetune --config experiments/configs/multi_label.py --train_file topics.tsv
           --split 80/10/10 --init_checkpoint run --model_dir topics
Hardware:  a GPU for base, a CPU for small models.
Expect:    depends on the encoder and the task.
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import MultiLabelConfig


def get_config() -> FinetuningConfig:
    """The experiment."""
    return FinetuningConfig(
        task=MultiLabelConfig(max_seq_length=128),
        optimizer=OptimizerConfig(bias_correction=True),
        train=TrainConfig(
            batch_size=32,
            learning_rate=3e-5,
            steps_per_loop=50,
            log_every=50,
            keep_checkpoints=1,
            xla_scope="fused",  # rows come in several lengths, for each of which the whole step would be compiled
        ),
        num_epochs=4,
        warmup_share=0.1,
    )
