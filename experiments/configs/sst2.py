"""SST-2 of GLUE: is a sentence of a film review positive?

Paper:     Devlin et al. 2018, "BERT", section 4.1 and appendix A.3: batch 16 or 32, learning rate 5e-5, 4e-5, 3e-5 or
           2e-5, 2 to 4 epochs; bias-corrected AdamW with 10 % warm-up (Mosbach et al. 2021).
Command:   bert-tf finetune --config sst2 --train_file SST-2/train.tsv --eval_file SST-2/dev.tsv
           --init_checkpoint bert-base-uncased --model_dir sst2
           GLUE's TSV has the columns sentence and label.
           The grid of the paper, with three seeds for each point: --seeds 0,1,2
           --grid train.learning_rate=5e-5,3e-5,2e-5 --grid train.batch_size=16,32 --grid num_epochs=2,3,4
Hardware:  a GPU for base, a CPU for small models.
Time:      at most 1 hour on a Cloud TPU, or a few hours on a GPU, in the paper (section 3.2). Not measured here.
Expect:    accuracy 0.935 (base) and 0.949 (large) on the test set, as published. This project has not run it.
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import ClassificationConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        task=ClassificationConfig(
            text_column="sentence",
            max_seq_length=128,
            # Sentences average 13 tokens: a fifth of a batch is padding with multiples of 8, an eighth with these.
            bucket_lengths=(*range(4, 64, 4), 64, 80, 96, 112, 128),
        ),
        optimizer=OptimizerConfig(bias_correction=True),
        train=TrainConfig(
            batch_size=32,
            learning_rate=3e-5,
            steps_per_loop=50,
            log_every=50,
            keep_checkpoints=1,
            concurrent_parts=2,  # for the second core of a CPU
            xla_scope="fused",  # rows come in several lengths, and XLA would compile the whole step for each
        ),
        num_epochs=3,
        warmup_share=0.1,
    )
