"""WNLI of GLUE: does a sentence follow from another, whose pronoun it resolves?

Paper:     Devlin et al. 2018, "BERT", section 4.1 and appendix A.3.
Command:   bert-tf finetune --config wnli --train_file WNLI/train.tsv --eval_file WNLI/dev.tsv
           --init_checkpoint bert-base-uncased --model_dir wnli
           GLUE's TSV has the columns sentence1, sentence2 and label.
Hardware:  a GPU for base, a CPU for small models.
Time:      at most 1 hour on a Cloud TPU, or a few hours on a GPU, in the paper (section 3.2). Not measured here.
Expect:    accuracy 0.651 on the test set by the majority class: the paper leaves WNLI out, since its development set
           contradicts its training set. This project has not run it.
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import ClassificationConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        task=ClassificationConfig(
            text_column="sentence1",
            text_pair_column="sentence2",
            labels=("0", "1"),
            max_seq_length=128,
        ),
        optimizer=OptimizerConfig(bias_correction=True),
        train=TrainConfig(
            batch_size=16,
            learning_rate=3e-5,
            steps_per_loop=50,
            log_every=50,
            keep_checkpoints=1,
            xla_scope="fused",  # rows come in several lengths, and XLA would compile the whole step for each
        ),
        num_epochs=3,
    )
