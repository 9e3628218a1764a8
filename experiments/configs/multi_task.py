"""Multi-task learning: sentences of film reviews and named entities, on one encoder.

Copy this file for tasks of your own: any of those that `bert-tf finetune` knows, each with its own settings.

Paper:     Liu et al. 2019, "Multi-Task Deep Neural Networks for Natural Language Understanding" (MT-DNN), section 3:
           each batch is of one task, drawn in proportion to the tasks' sizes; batch 32, learning rate 5e-5, 5 epochs.
           Other ways to draw: `sampling` in `bert_tf/configs/multi_task.py`.
Command:   bert-tf finetune --config multi_task --train_file sst2=sst2/train.tsv,ner=wnut17/train.conll
           --eval_file sst2=sst2/dev.tsv,ner=wnut17/dev.conll --init_checkpoint bert-base-uncased --model_dir both
           A task is added to a run by --init_checkpoint both and a configuration with one task more.
Hardware:  a GPU for base, a CPU for small models.
Time:      the steps of all tasks together: `num_epochs` counts the rows of all of them.
Expect:    the scores of the single tasks or more, from one encoder: `docs/multitask.md` has a measured example.
"""

from bert_tf.configs import ClassificationConfig, FinetuningConfig, TrainConfig
from bert_tf.configs.multi_task import MemberConfig, MultiTaskConfig
from bert_tf.configs.tasks import TaggingConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        task=MultiTaskConfig(
            tasks=(
                MemberConfig(
                    "sst2",
                    ClassificationConfig(
                        text_column="sentence", bucket_lengths=(*range(4, 64, 4), 64, 80, 96, 112, 128)
                    ),
                ),
                MemberConfig("ner", TaggingConfig()),
            ),
            sampling="proportional",
        ),
        train=TrainConfig(
            batch_size=32,
            learning_rate=5e-5,
            steps_per_loop=50,
            log_every=50,
            keep_checkpoints=1,
            concurrent_parts=2,  # for the second core of a CPU
            xla_scope="fused",  # rows come in several lengths, and XLA would compile the whole step for each
        ),
        num_epochs=3,
    )
