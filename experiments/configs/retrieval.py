"""Dense retrieval: vectors for questions and for the passages that answer them.

Paper:     Reimers and Gurevych 2019, "Sentence-BERT", section 3: one encoder for both, and the mean of its vectors.
           Henderson et al. 2017, section 4: the other passages of a batch as negatives. Karpukhin et al. 2020,
           "Dense Passage Retrieval", section 5: batch size 128, learning rate 1e-5; `--set task.pooling=cls
           --set task.normalize=false --set task.temperature=1` gives its vectors.
Command:   bert-tf finetune --config retrieval --train_file train.tsv --eval_file dev.tsv
           --init_checkpoint bert-base-uncased --model_dir retriever
           The files have the columns `query` and `passage`, or are those of SQuAD (.json).
           `--set task.num_negatives=1` adds negatives from a column `negatives`.
Hardware:  a GPU of 16 GB for base; a larger batch gives more negatives.
Time:      not measured.
Expect:    MRR@10 from 0.24 to 0.52 on XQuAD in Chinese, with MiniLM (experiments/benchmarks/README.md, Fine-tuning).
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import RetrievalConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        task=RetrievalConfig(),
        optimizer=OptimizerConfig(bias_correction=True),
        train=TrainConfig(
            batch_size=64,
            learning_rate=2e-5,
            steps_per_loop=50,
            log_every=50,
            keep_checkpoints=1,
            xla_scope="fused",  # rows come in several lengths, and XLA would compile the whole step for each
        ),
        num_epochs=1,
        warmup_share=0.1,
    )
