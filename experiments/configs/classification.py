"""Classification of texts, or of pairs of texts with `--set task.text_pair_column=...`.

Paper:     Devlin et al. 2018, "BERT", section 4.1 and appendix A.3: batch 16 or 32, learning rate 5e-5 to 2e-5, 2 to 4
           epochs, dropout 0.1; bias-corrected AdamW with 10 % warm-up (Mosbach et al. 2021).
Command:   bert-tf finetune --config classification --train_file train.tsv --eval_file dev.tsv --init_checkpoint run
           --model_dir classifier
Hardware:  a GPU for base, a CPU for small models.
Time:      grows with steps, batch size and length; three epochs of 10,000 examples are 940 steps of 32.
Expect:    an accuracy that depends on the encoder and the data.
"""

from bert_tf.configs import ClassificationConfig, FinetuningConfig, TrainConfig


def get_config() -> FinetuningConfig:
    """Return the experiment."""
    return FinetuningConfig(
        task=ClassificationConfig(encoder_dropout_rate=0.1),
        train=TrainConfig(
            num_steps=900,
            batch_size=32,
            learning_rate=3e-5,
            warmup_steps=90,
            steps_per_loop=50,
            log_every=50,
            checkpoint_every=300,
            eval_every=300,
            xla_scope="fused",  # rows come in several lengths, and XLA would compile the whole step for each
        ),
    )
