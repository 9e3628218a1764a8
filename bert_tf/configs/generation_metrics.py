"""The names of the metrics of generated texts, and of the tokenizers that they count words by."""

GENERATION_METRICS = ("rouge1", "rouge2", "rougeL", "bleu", "chrf", "exact_match", "distinct_1", "distinct_2")
"""The metrics of `bert_tf.scoring.seq2seq`."""

METRIC_TOKENIZERS = ("13a", "intl", "zh", "char", "none")
"""Tokenizers of sacrebleu that need no other package: `13a` is BLEU's own, `zh` that of Chinese."""
