"""A distilled scorer: the mean log-likelihood of a sentence's tokens, in one pass instead of one a token.

Paper:     Salazar et al. 2020, "Masked Language Model Scoring", section 2.3: a regressor learns the
           pseudo-log-likelihoods of a masked language model. Here it learns their mean over the tokens, whose size
           does not depend on the length.
Command:   bert-tf likelihood --model_dir run --input sentences.txt --output train.jsonl
           bert-tf finetune --config sentence_score --train_file train.jsonl --split 90/10
           --init_checkpoint run --model_dir scorer
           `bert-tf rescore --model_dir scorer` then multiplies its answers by the numbers of tokens.
Hardware:  a CPU for small models.
Time:      not measured here.
Expect:    Pearson and Spearman of the held-out sentences, which the command prints; `experiments.benchmarks.rescoring`
           compares the scorer with its teacher.
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import RegressionConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        task=RegressionConfig(text_column="text", label_column="mean_log_likelihood", max_seq_length=128),
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
