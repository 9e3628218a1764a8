"""A target text for each source text, by an encoder alone: any pairs of texts.

Paper:     Dong et al. 2019, "Unified Language Model Pre-training for Natural Language Understanding and Generation",
           section 2.3: target tokens read the source and the target before them. Here the head predicts the next token
           at each position, instead of masked ones, so that every token of the target is learnt from in each step.
Command:   bert-tf finetune --config seq2seq --train_file pairs.tsv --eval_file dev.tsv
           --init_checkpoint bert-base-uncased --model_dir writer
           The files have the columns `source` and `target` (.tsv, .csv, .jsonl), or are two parallel text files,
           `--train_file sources.txt,targets.txt`.
           `summarization`, `translation`, `question_generation` and `dialogue` are this experiment with the lengths
           of these tasks.
Hardware:  a GPU of 16 GB for base.
Time:      not measured.
Expect:    a toy task (copies of three to five letters) over 99 % exact with a model of two layers, in a minute on two
           cores (tests/bert_tf/serving/test_toy_transductions.py).
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import Seq2SeqConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        task=Seq2SeqConfig(),
        optimizer=OptimizerConfig(bias_correction=True),
        train=TrainConfig(
            batch_size=32,
            learning_rate=5e-5,
            steps_per_loop=50,
            log_every=50,
            keep_checkpoints=1,
            xla_scope="fused",  # rows come in several lengths, and XLA would compile the whole step for each
        ),
        num_epochs=10,
        warmup_share=0.1,
    )
