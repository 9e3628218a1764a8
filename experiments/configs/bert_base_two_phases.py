"""BERT-base, uncased, pre-trained in two phases: 90 % of the steps at length 128, the rest at 512.

Paper:     Devlin et al. 2018, "BERT", section 3.1 and appendix A.2: 1M steps of 256 sequences, 90 % of them at
           length 128, then 512 "to learn the positional embeddings", under one schedule of the learning rate.
Command:   bert-tf pretrain --config bert_base_two_phases --train_data records128,records512
           --eval_data records128/heldout,records512/heldout --model_dir run
Hardware:  a TPU v3-8 or 8 GPUs of 16 GB.
Time:      4 days on 4 Cloud TPUs (16 chips) in the paper. This project has not run it.
Expect:    a held-out masked-LM loss of about 1.4 nats on Wikipedia and books, as the published model has.

The second phase can have a schedule of its own, as in the recipes of LAMB (You et al. 2020):
`PhaseConfig(512, share=0.18, learning_rate=4e-3, warmup_steps=200)`.
"""

from bert_tf.configs import BertConfig, PhaseConfig, PretrainingConfig, TrainConfig


def get_config() -> PretrainingConfig:
    """Return the experiment."""
    return PretrainingConfig(
        model=BertConfig.named("bert_base"),
        train=TrainConfig(
            num_steps=1_000_000,
            batch_size=256,
            learning_rate=1e-4,
            warmup_steps=10_000,
            steps_per_loop=100,
            log_every=100,
            checkpoint_every=1000,
            eval_every=10_000,
        ),
        phases=(
            PhaseConfig(max_seq_length=128, share=0.9),
            # Activations of a row of 512 tokens take more than four times the memory of a row of 128.
            PhaseConfig(max_seq_length=512, share=0.1, gradient_accumulation_steps=4),
        ),
    )
