"""Fine-tuning of the quickstart: from which package does a paragraph of documentation come?

Command:   bert-tf quickstart
Hardware:  two cores of an x86-64 CPU.
Time:      not measured alone; it is one stage of the quickstart.
Expect:    the results in README.md.
"""

from bert_tf.configs import ClassificationConfig, FinetuningConfig, TrainConfig
from experiments.configs import quickstart


def get_config() -> FinetuningConfig:
    """Return the experiment. Its `model`, that of pre-training, is for the control from random weights."""
    return FinetuningConfig(
        model=quickstart.get_config().model,
        task=ClassificationConfig(
            max_seq_length=64,
            bucket_lengths=(64,),  # one length, so that XLA compiles once
            encoder_dropout_rate=0.1,
            pooling="mean",
        ),
        train=TrainConfig(
            num_steps=180,
            batch_size=32,
            learning_rate=5e-4,
            warmup_steps=18,
            steps_per_loop=50,
            log_every=50,
            eval_batch_size=128,
            precision="float32",  # so that its results are the same on every processor
            concurrent_parts=2,
        ),
    )
