"""Reranking: a cross-encoder, which reads a query and a passage together, orders the passages that a search found.

Paper:     Nogueira and Cho 2019, "Passage Re-ranking with BERT": batches of 128 pairs, learning rate 3e-6, `--set
           task.loss=binary`. Gao et al. 2021, "Rethink Training of BERT Rerankers in Multi-Stage Retrieval Pipeline",
           section 3: the passage and negatives that a search found, compared by a softmax (`softmax`, the default), in
           groups of 8, learning rate 1e-5.
Command:   bert-tf mine-negatives --data train.tsv --model_dir retriever --output negatives.jsonl
           bert-tf finetune --config reranking --train_file negatives.jsonl --split 90/10
           --init_checkpoint bert-base-uncased --model_dir reranker
           The files have the columns `query`, `passage` and `label` or `negatives`, or are those of SQuAD (.json).
Hardware:  a GPU of 16 GB for base.
Time:      not measured.
Expect:    not measured to the end; `experiments.benchmarks.rerank` compares it with the search alone.
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import RerankingConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        task=RerankingConfig(),
        optimizer=OptimizerConfig(bias_correction=True),
        train=TrainConfig(
            batch_size=32,
            learning_rate=2e-5,
            steps_per_loop=50,
            log_every=50,
            keep_checkpoints=1,
            xla_scope="fused",  # rows come in several lengths, and XLA would compile the whole step for each
        ),
        num_epochs=1,
        warmup_share=0.1,
    )
