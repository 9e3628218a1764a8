"""BERT-large, uncased, first phase of pre-training (rows of 128 tokens).

Paper:     Devlin et al. 2018, "BERT", section 3.1 and appendix A.2, like `bert_base.py`.
Command:   python -m experiments.pretrain --config experiments/configs/bert_large.py --train_data records
           --eval_data records/heldout --model_dir run
Hardware:  a TPU pod slice or GPUs of 40 GB and more.
Time:      the paper used 16 Cloud TPUs (64 chips) for 4 days. Not run by this project.
Expect:    masked-LM accuracy 0.72 on Wikipedia (MLPerf's reference at the end of its training).
"""

from bert_tf.configs import BertConfig, PretrainingConfig, TrainConfig


def get_config() -> PretrainingConfig:
    """The experiment."""
    return PretrainingConfig(
        model=BertConfig.named("bert_large"),
        train=TrainConfig(
            num_steps=900_000,
            batch_size=256,
            learning_rate=1e-4,
            warmup_steps=10_000,
            steps_per_loop=100,
            log_every=100,
            checkpoint_every=1000,
            eval_every=10_000,
            precision="bfloat16",
        ),
    )
