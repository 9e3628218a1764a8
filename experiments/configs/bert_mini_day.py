"""Pre-training of BERT-mini on a corpus of package documentation: an encoder to start from, made on two CPU cores.

The architecture is BERT-mini of Turc et al. 2019, "Well-Read Students Learn Better" (4 layers, width 256, 4 heads),
with a vocabulary of 16,000 tokens.

Command:   make checkpoint
Hardware:  two cores of an x86-64 CPU.
Time:      29 minutes on an AMD EPYC with AVX-512 BF16, of which 25 are training in bfloat16. About three hours where
           there are no bfloat16 units, by an estimate of 1.8 s a step.
Expect:    on the held-out documents a masked-LM loss of 3.65 (a unigram model: 6.79), a masked-LM accuracy of 0.399 and
           a next-sentence accuracy of 0.875 (seed 0). experiments/corpora/README.md has the curve.

The initialization is that of the quickstart, whose experiments are in quickstart.py. The schedule and the packed rows
won the comparison of recipes in experiments/benchmarks/README.md.
"""

from bert_tf.configs import BertConfig, MaskingConfig, OptimizerConfig, PretrainingConfig, TrainConfig


def get_config() -> PretrainingConfig:
    """Return the experiment."""
    return PretrainingConfig(
        model=BertConfig(
            vocab_size=16_000,
            hidden_size=256,
            num_layers=4,
            num_heads=4,
            intermediate_size=1024,
            hidden_act="gelu_new",
            dropout_rate=0.0,
            attention_dropout_rate=0.0,
            max_position_embeddings=512,
            position_initializer="neighbours",
            output_bias_from_unigram=True,
        ),
        masking=MaskingConfig(masked_lm_rate=0.2),
        optimizer=OptimizerConfig(
            beta2=0.98, bias_correction=True, decay_schedule="warmup_stable_decay", decay_share=0.2
        ),
        train=TrainConfig(
            num_steps=6000,
            batch_size=32,
            learning_rate=1e-3,
            warmup_steps=600,
            steps_per_loop=50,
            log_every=50,
            checkpoint_every=200,
            eval_every=1000,
            eval_batch_size=128,
            concurrent_parts=2,
        ),
    )
