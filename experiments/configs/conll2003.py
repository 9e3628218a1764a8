"""Named entities of CoNLL-2003, or the tags of any other file in CoNLL columns.

Paper:     Devlin et al. 2018, "BERT", section 5.3 and appendix A.3; cased models.
Command:   bert-tf finetune --config conll2003 --train_file train.conll --eval_file valid.conll --test_file test.conll
           --init_checkpoint bert-base-cased --model_dir conll2003
           `--set task.tag_column=2` trains on the chunks of CoNLL-2003 instead.
Hardware:  a GPU for base, a CPU for small models.
Time:      at most 1 hour on a Cloud TPU, or a few hours on a GPU, in the paper (section 3.2). Not measured here.
Expect:    F1 0.924 (base) and 0.928 (large) on the test set, as published; the paper adds the context of the
           document. This project has not run it.
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import TaggingConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        task=TaggingConfig(max_seq_length=128),
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
        evals_per_epoch=1,
    )
