"""Pre-training of a Chinese BERT-mini with masks on whole words.

Paper:     Cui et al. 2019, "Pre-Training with Whole Word Masking for Chinese BERT"; the architecture is BERT-mini of
           Turc et al. 2019, "Well-Read Students Learn Better" (4 layers, width 256, 4 heads).
Command:   bert-tf pretrain --config chinese_mini --train_data records --eval_data records/heldout --model_dir chinese
           The records are made with `--segmenter jieba --objective mlm --pack --max_seq_length 64`.
           `--set masking.strategy=token` masks single characters instead.
Hardware:  a CPU for a corpus of some megabytes.
Time:      13 minutes on two cores of an AMD EPYC with AVX-512 BF16 (3.4 million tokens of reviews, bfloat16).
Expect:    on held-out single characters a masked-LM loss of 3.15 (unigram: 6.12) and an accuracy of 0.438; with masks
           on single characters 2.35 and 0.548. docs/chinese.md has the tasks.

The initialization and the optimizer are those of the quickstart, whose experiments are in quickstart.py.
"""

from bert_tf.configs import BertConfig, MaskingConfig, OptimizerConfig, PretrainingConfig, TrainConfig


def get_config() -> PretrainingConfig:
    """Return the experiment."""
    return PretrainingConfig(
        model=BertConfig(
            vocab_size=8000,
            hidden_size=256,
            num_layers=4,
            num_heads=4,
            intermediate_size=1024,
            hidden_act="gelu_new",
            dropout_rate=0.0,
            attention_dropout_rate=0.0,
            max_position_embeddings=512,
            initializer_range=0.04,
            position_initializer="neighbours",
            output_bias_from_unigram=True,
        ),
        masking=MaskingConfig(strategy="whole_word", masked_lm_rate=0.3),
        optimizer=OptimizerConfig(beta2=0.98, bias_correction=True),
        train=TrainConfig(
            num_steps=6000,
            batch_size=32,
            learning_rate=1e-3,
            warmup_steps=600,
            steps_per_loop=50,
            log_every=50,
            checkpoint_every=500,
            eval_batch_size=128,
            concurrent_parts=2,
        ),
    )
