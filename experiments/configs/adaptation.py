"""Continued pre-training on the text of a domain, from published weights, whose sizes replace those given here.

Paper:     Gururangan et al. 2020, "Don't Stop Pretraining", section 3: masked LM on the domain's text
           before fine-tuning.
Command:   bert-tf adapt --init_checkpoint bert-base-uncased --corpus 'domain/*.txt' --output_dir adapted
           --num_new 2000
Hardware:  a CPU for small models, a GPU for base.
Time:      10 minutes for 1,600 steps of BERT-mini on two cores of an AMD EPYC (bfloat16).
Expect:    a higher log-likelihood of a character on held-out text of the domain, which the command prints. On film
           reviews it rose from -1.57 to -1.11 nats; docs/pretraining.md also has what the task gained.
"""

from bert_tf.configs import MaskingConfig, OptimizerConfig, PretrainingConfig, TrainConfig


def get_config() -> PretrainingConfig:
    """Return the experiment."""
    return PretrainingConfig(
        masking=MaskingConfig(strategy="whole_word"),
        optimizer=OptimizerConfig(bias_correction=True),
        train=TrainConfig(
            num_steps=2000,
            batch_size=32,
            learning_rate=1e-4,
            warmup_steps=200,
            steps_per_loop=50,
            log_every=50,
            checkpoint_every=200,
        ),
    )
