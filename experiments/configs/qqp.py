"""QQP of GLUE: do two questions of Quora ask the same?

Paper:     Devlin et al. 2018, "BERT", section 4.1 and appendix A.3.
Command:   bert-tf finetune --config qqp --train_file QQP/train.tsv --eval_file QQP/dev.tsv
           --init_checkpoint bert-base-uncased --model_dir qqp
           GLUE's TSV has the columns question1, question2 and is_duplicate; some rows lack fields.
Hardware:  a GPU for base, a CPU for small models.
Time:      at most 1 hour on a Cloud TPU, or a few hours on a GPU, in the paper (section 3.2). Not measured here.
Expect:    F1 0.712 (base) and 0.721 (large) on the test set, as published. This project has not
           run it.
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import ClassificationConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        task=ClassificationConfig(
            text_column="question1",
            text_pair_column="question2",
            label_column="is_duplicate",
            labels=("0", "1"),
            skip_incomplete=True,
            max_seq_length=128,
        ),
        optimizer=OptimizerConfig(bias_correction=True),
        train=TrainConfig(
            batch_size=32,
            learning_rate=3e-5,
            steps_per_loop=50,
            log_every=50,
            keep_checkpoints=1,
            xla_scope="fused",  # rows come in several lengths, and XLA would compile the whole step for each
        ),
        num_epochs=3,
        metric="f1",
    )
