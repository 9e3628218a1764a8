"""Dense retrieval: vectors of questions and of the passages that answer them.

Paper:     Reimers and Gurevych 2019, "Sentence-BERT", section 3: one encoder, the mean of its vectors. Henderson et al.
           2017, section 4: the other passages of a batch as negatives. Karpukhin et al. 2020, "Dense Passage
           Retrieval", section 5: batch 128, learning rate 1e-5; its vectors: --set task.pooling=cls
           --set task.normalize=false --set task.temperature=1
Command:   python -m experiments.finetune --config experiments/configs/retrieval.py --train_file train.tsv
           --eval_file dev.tsv --init_checkpoint bert-base-uncased --model_dir retriever
           The files have columns `query` and `passage`; those of SQuAD (.json) are read as they are. Negatives of one's
           own: --set task.num_negatives=1, a column `negatives`.
Hardware:  a GPU of 16 GB for base; larger batches give more negatives.
Expect:    MRR@10 from 0.24 to 0.52 on XQuAD in Chinese, with MiniLM (experiments/benchmarks/README.md, Fine-tuning).
"""

from bert_tf.configs import FinetuningConfig, OptimizerConfig, TrainConfig
from bert_tf.configs.tasks import RetrievalConfig


def get_config() -> FinetuningConfig:
    """The experiment."""
    return FinetuningConfig(
        task=RetrievalConfig(),
        optimizer=OptimizerConfig(bias_correction=True),
        train=TrainConfig(
            batch_size=64,
            learning_rate=2e-5,
            steps_per_loop=50,
            log_every=50,
            keep_checkpoints=1,
            xla_scope="fused",  # rows come in several lengths, for each of which the whole step would be compiled
        ),
        num_epochs=1,
        warmup_share=0.1,
    )
